"""Run the command line: `python -m workflow --help`."""

import sys

from workflow.cli import main

if __name__ == "__main__":
    sys.exit(main())
