"""Run the market data server, or ask what this machine lacks for it: `python -m server --help`."""

import sys

from server.command import main

if __name__ == "__main__":
    sys.exit(main(program="python -m server"))
