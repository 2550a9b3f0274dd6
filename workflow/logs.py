"""What is logged, by the logger `workflow`."""

from __future__ import annotations

import logging

__all__ = ["hush_backend", "logger"]

logger = logging.getLogger("workflow")


class _KnownFailures(logging.Filter):
    """Drops the backend's word that a workflow failed: it shows what carries the error, not the error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Exception encountered in background workflow")


_known_failures = _KnownFailures()


def hush_backend() -> None:
    """Let the backend not log what the engine logs."""
    logging.getLogger("dbos").addFilter(_known_failures)
