"""Take the pictures in docs/images anew: a server of its own, a headless Chromium, one picture a page.

python -m tools.screenshots            # or: make screenshots
python -m tools.screenshots quant pm
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from server.dashboards.past import moment_text
from server.store_place import TRADERS
from store.client import StoreClient
from store.models import Trade
from store.server import ObjectStoreServer
from tools.browser import SIZE, address, grids, launched, plots
from tools.chromium import chromium_path
from tools.environment import ROOT

IMAGES = ROOT / "docs" / "images"
# So many tables and plots are on each page; a picture is taken when all of them show something.
PAGES = {"quant": (3, 1), "risk": (3, 1), "pm": (4, 1), "as_of": (2, 0)}
_WARM_SECONDS, _PAGE_SECONDS = 30.0, 240.0


@contextmanager
def running_server(folder: Path) -> Iterator[tuple[str, str]]:
    """Give the address and the key of a server that runs meanwhile."""
    folder.chmod(0o711)  # for PostgreSQL, which does not run as root
    key_file = folder / "key"
    command = [sys.executable, "-u", "-m", "server", "--port", "0", "--seed", "7", "--key-file", str(key_file)]
    command += ["--store", str(folder / "store"), "--trades", "60"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            said = []
            for line in server.stdout:
                said.append(line)
                if line.startswith("  Open   "):
                    yield line.split()[-1].split("?")[0], key_file.read_text(encoding="ascii").strip()
                    return
            sys.exit(f"the server did not start:\n{''.join(said)}")
        finally:
            server.terminate()


def wait(page: Page, condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + _PAGE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"{what} did not come; the page shows:\n{page.inner_text('body')[:2000]}")
        page.wait_for_timeout(200)


def correct_a_trade(directory: Path) -> tuple[str, str]:
    """Correct a trade of the desk as somebody else; return its id, and a moment when nobody knew that it was wrong."""
    with ObjectStoreServer(directory) as store:
        store.provision_user("middle_office", "never kept")
        store.add_members(TRADERS, ["middle_office"])
        with StoreClient(user="middle_office", password="never kept", **store.conn_info()) as client:
            trade = client.query(Trade, {"book": "EQ-US", "symbol": "AAPL"}, order_by="tx_time", limit=1)[0]
            before = datetime.now(timezone.utc)
            trade.price, trade.quantity = round(trade.price * 1.01, 2), trade.quantity + 500
            client.update(trade, valid_from=trade.valid_from)
            return str(trade.entity_id), moment_text(before) or ""


def look_back(page: Page, entity_id: str, moment: str) -> None:
    """On the As-of page, look at the desk of that moment and at the entity's audit trail."""
    page.get_by_label("Known at").fill(moment)
    page.get_by_role("button", name="Look", exact=True).click()
    wait(page, lambda: any("QuantityThen" in grid.names and grid.loaded for grid in grids(page)), "the difference")
    page.get_by_label("Entity id").fill(entity_id)
    page.get_by_role("button", name="Show", exact=True).click()
    wait(page, lambda: any("EventType" in grid.names and grid.loaded for grid in grids(page)), "the audit trail")


def shows_all(page: Page, tables: int, figures: int) -> bool:
    """Tell whether so many tables have rows and so many plots have points."""
    filled = [grid for grid in grids(page) if grid.loaded]
    drawn = [plot for plot in plots(page) if plot and all(trace["y"] for trace in plot)]
    return len(filled) >= tables and len(drawn) >= figures


def shrink(path: Path) -> None:
    """Keep the colours that a page needs; the picture is half as large."""
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def main(given: Sequence[str] | None = None) -> int:
    """Take the pictures of the pages named, or of all."""
    parser = argparse.ArgumentParser(prog="python -m tools.screenshots", description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", choices=[*PAGES, []], help=f"of {', '.join(PAGES)}; all by default")
    names = parser.parse_args(given).pages or list(PAGES)
    chromium = chromium_path()
    if chromium is None:
        sys.exit("there is no Chromium: Debian has it as `apt-get install chromium`")
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as (url, key):
        # Lines of a few seconds are no sight.
        time.sleep(_WARM_SECONDS)
        corrected, moment = correct_a_trade(Path(folder) / "store")
        with launched(chromium) as browser:
            for name in names:
                page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
                page.set_default_timeout(_PAGE_SECONDS * 1000)
                page.goto(address(url, name, key))
                tables, figures = PAGES[name]
                wait(page, lambda: shows_all(page, tables, figures), f"all of {name}")  # noqa: B023
                if name == "as_of":
                    look_back(page, corrected, moment)
                if name == "pm":
                    wait(page, lambda: any("ChangeOfPnL" in grid.names and grid.count > 8 for grid in grids(page)), "")  # noqa: B023
                page.wait_for_timeout(2000)
                path = IMAGES / f"{name}.png"
                page.screenshot(path=path)
                shrink(path)
                page.close()
                print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
