"""Makes the pictures of the page in docs/images from the example: ``make pictures``."""

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.chromium import CHROMIUM_ARGUMENTS, chromium_path

_ROOT = Path(__file__).parents[2]
_EXAMPLE = _ROOT / "examples" / "twitch-atlas-2020-08"
_SIZE = {"width": 1500, "height": 950}
_VIEWS = {
    "atlas.png": "",
    "comparison.png": "#compare=xqcow&compare=summit1g&compare=sodapoppin",
}


def main() -> None:
    """Map the example, and write a picture of each view."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = [Path(sys.executable).with_name("vieweratlas"), "map", "--out", folder]
        tables = ["--edges", _EXAMPLE / "edges.csv", "--nodes", _EXAMPLE / "nodes.csv"]
        subprocess.run([*command, *tables], check=True)
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
        for name, at in _VIEWS.items():
            page = browser.new_context(viewport=_SIZE, reduced_motion="reduce").new_page()
            page.goto((Path(folder) / "atlas.html").as_uri() + at)
            page.wait_for_function("document.documentElement.dataset.ready === 'true'")
            # The land is painted when the view has come to rest.
            page.wait_for_timeout(1000)
            page.screenshot(path=_ROOT / "docs" / "images" / name)
        browser.close()


if __name__ == "__main__":
    main()
