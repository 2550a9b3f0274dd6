"""Run the market data server, or ask what this machine lacks for it: `python -m server --help`."""

import sys

from server.shutdown import end_on_interrupt

if __name__ == "__main__":
    end_on_interrupt()
    if sys.argv[1:2] == ["doctor"]:
        # On a machine that lacks something, the server's own imports may fail.
        from server.doctor import main as examine

        sys.exit(examine(sys.argv[2:]))
    try:
        from server.command import main
    except ModuleNotFoundError as error:
        sys.exit(f"python -m server: {error}; `python -m server doctor` says what to do")
    sys.exit(main(program="python -m server"))
