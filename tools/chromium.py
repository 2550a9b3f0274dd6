"""Finding, or installing, the browser of the browser tests and of the screenshots."""

from __future__ import annotations

import shutil
from pathlib import Path

from tools.machine import apt_install, say

__all__ = ["CHROMIUMS", "chromium_path", "offer_chromium"]

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium_path() -> Path | None:
    """Return the system's Chromium, or a browser that is as good; None where there is none."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    return None if found is None else Path(found)


def offer_chromium() -> None:
    """See to a Chromium: as root, install one; without the right to, say what will be left out."""
    if chromium_path() is None and not (apt_install(["chromium"]) and chromium_path()):
        say("no Chromium is here: the browser tests will be skipped (Debian: sudo apt-get install -y chromium)")
