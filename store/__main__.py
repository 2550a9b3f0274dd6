"""Run the command line: `python -m store --help`."""

from store.cli import main

if __name__ == "__main__":
    main(prog_name="python -m store")
