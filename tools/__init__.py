"""What prepares a checkout: see bootstrap.sh."""
