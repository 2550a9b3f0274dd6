"""Run the command line: `python -m store --help`."""

import sys

try:
    from store.cli import main
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
