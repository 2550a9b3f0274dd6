"""`python -m store`: a store on the command line, in a data directory of ours or on a server elsewhere."""

from __future__ import annotations

from store.cli.console import main

__all__ = ["main"]
