"""The market data server as a program: `cd server && python3 -i app.py`, or `python -m server` from anywhere.

Publishes prices, positions and risk as ticking tables in the web IDE, whose address it prints. With -i the prompt stays
open beside it, with the tables by their names. `--help` lists the options.
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    # Run as a file: Python has put this folder on the path, where its modules have other names than they import by.
    _folder = Path(__file__).resolve().parent
    sys.path[:] = [str(_folder.parent), *(entry for entry in sys.path if Path(entry).resolve() != _folder)]

if __name__ == "__main__":
    from server.shutdown import end_on_interrupt

    end_on_interrupt()
    if sys.argv[1:2] == ["doctor"]:
        # On a machine that lacks something, the server's own imports may fail.
        from server.doctor import main as examine

        sys.exit(examine(sys.argv[2:]))
try:
    from server.command import main
except ModuleNotFoundError as _error:
    sys.exit(f"app.py: {_error}; `python -m server doctor` in the folder above says what to do")

__all__ = ["main"]

if __name__ == "__main__":
    _status = main()
    if not sys.flags.interactive:
        sys.exit(_status)
