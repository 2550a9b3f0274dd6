"""Keeps what comes too late for a closed page off the server's terminal.

A page is closed while a table or a thread is about to change it: deephaven.ui finds the page's state gone, and logs
the traceback of a KeyError, though nothing is lost and nobody looks any more.
"""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["hush_closed_pages"]

LOGGER = "deephaven.ui.object_types.ElementMessageStream"


def hush_closed_pages() -> None:
    """Have deephaven.ui log no errors of pages that are closed; a second call changes nothing."""
    logging.getLogger(LOGGER).addFilter(_of_an_open_page)


def _of_an_open_page(record: logging.LogRecord) -> bool:
    traceback = record.exc_info[2] if record.exc_info else None
    stream: Any = None if traceback is None else traceback.tb_frame.f_locals.get("self")
    if not hasattr(stream, "_is_closed"):
        return True
    context = getattr(stream, "_context", None)  # taken away at last; before that it clears itself
    return not stream._is_closed and context is not None and getattr(context, "_is_mounted", True)
