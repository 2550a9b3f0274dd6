"""Speed, as ratios to what the machine can do without us: `make bench`."""
