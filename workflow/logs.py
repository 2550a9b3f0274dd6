"""What is logged, by the logger `workflow`."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

__all__ = ["hush_backend", "logger"]

logger = logging.getLogger("workflow")


class _KnownFailures(logging.Filter):
    """Drops the backend's word that a workflow failed: it shows what carries the error, not the error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Exception encountered in background workflow")


if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler  # which Python 3.10 cannot subscript


class _Console(_StreamHandler):
    """Writes to what is the standard error at that moment: tests and notebooks exchange it, and close theirs."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # an attribute of the base
        return sys.stderr


_known_failures = _KnownFailures()
_console = _Console()


def hush_backend() -> None:
    """Let the backend not log what the engine logs, nor hold on to a stream that may be closed under it."""
    backend = logging.getLogger("dbos")
    backend.addFilter(_known_failures)
    if not backend.handlers:
        backend.propagate = False
        backend.addHandler(_console)
