"""The atlas page beside a Plotly page of the same points: ``python -m tests.bench.page [--quick]``.

Both pages hold everything they need, and are opened from files. Painted is when the first picture with all
points stands: the page says so itself, in the frame after its drawing is done. Frames are what the browser
gives while the map is dragged and then zoomed with the wheel. Without a graphics card, Chromium draws WebGL
with the processor, which counts for both.

Exit code 0 when every bar is met, 1 when one is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

import polars as pl
from playwright.sync_api import Browser, sync_playwright

from tests.browser.chromium import CHROMIUM_ARGUMENTS, chromium_path
from tests.worlds.map_history import planted_days
from vieweratlas_dagster.publish.history import Day, History
from vieweratlas_dagster.publish.page import PAGE_BYTES, render_page

from .report import Row, exit_code, progress, render

_SIZES, _QUICK_SIZES = (5_000, 20_000), (300,)
_DAYS = 14
_VIEW = {"width": 1280, "height": 800}
_STEPS = 40
# Times are milliseconds since the navigation began.
_WATCH = """
new MutationObserver(() => {
  if (document.documentElement.dataset.ready === "true" && !window.paintedAt) {
    requestAnimationFrame(() => setTimeout(() => { window.paintedAt = performance.now(); }));
  }
}).observe(document, { subtree: true, attributes: true, childList: true, attributeFilter: ["data-ready"] });
window.frames_seen = [];
window.watchFrames = () => requestAnimationFrame(function next(now) {
  window.frames_seen.push(now);
  requestAnimationFrame(next);
});
"""
_PLOTLY_PAGE = """<!doctype html><html><head><meta charset="utf-8"><style>body,#map{{margin:0;height:100vh}}
</style></head><body><div id="map"></div><script>{library}</script><script>
const points = {points};
Plotly.newPlot("map", [{{type: "scattergl", mode: "markers", x: points.x, y: points.y, text: points.name,
  marker: {{color: points.color, size: points.size}}}}],
  {{dragmode: "pan", margin: {{l: 0, r: 0, t: 0, b: 0}}}}, {{scrollZoom: true, responsive: true}})
  .then(() => {{ document.documentElement.dataset.ready = "true"; }});
</script></body></html>"""


@dataclass(frozen=True)
class Seen:
    """One visit: milliseconds until the map was painted, and between frames while it was moved."""

    painted: float
    frames: list[float]


def plotly_page(nodes: pl.DataFrame) -> str:
    """The same points as a Plotly page with the library inside.

    Raises:
        FileNotFoundError: plotly is not installed.
    """
    try:
        library = (files("plotly") / "package_data" / "plotly.min.js").read_text()
    except ModuleNotFoundError as error:
        raise FileNotFoundError("plotly is not installed: run `make bench-page`") from error
    largest = nodes["viewers"].max()
    points = nodes.select(
        "x", "y", "color", name="channel", size=4 + 20 * (pl.col("viewers") / largest).sqrt()
    )
    text = json.dumps(points.to_dict(as_series=False)).replace("<", "\\u003c")
    return _PLOTLY_PAGE.format(library=library.replace("</script", "<\\/script"), points=text)


def visit(browser: Browser, path: Path) -> Seen:
    """Open a page in a fresh window, wait until it is painted, then drag and zoom its map.

    Raises:
        AssertionError: the page asks for anything but itself.
    """
    context = browser.new_context(viewport=_VIEW)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.add_init_script(_WATCH)
    page.goto(path.as_uri())
    page.wait_for_function("window.paintedAt > 0", timeout=120_000)
    painted = page.evaluate("window.paintedAt")
    page.evaluate("window.watchFrames()")
    middle_x, middle_y = _VIEW["width"] // 2, _VIEW["height"] // 2
    page.mouse.move(middle_x, middle_y)
    page.mouse.down()
    for step in range(_STEPS):
        page.mouse.move(middle_x + 4 * step, middle_y + 2 * step)
    page.mouse.up()
    for step in range(_STEPS):
        page.mouse.wheel(0, -40 if step < _STEPS // 2 else 40)
    # Two more frames, so that what the last move asked for is counted.
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    times = page.evaluate("window.frames_seen")
    context.close()
    assert asked == [path.as_uri()], f"{path.name} asked for {asked[1:]}"
    return Seen(painted, [after - before for before, after in pairwise(times)])


def measure(*, quick: bool) -> list[Row]:
    """All rows; quick ones with few channels, days and visits, which say nothing of the speed."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
        for channels in _QUICK_SIZES if quick else _SIZES:
            progress(f"{channels:,} channels")
            days = planted_days(channels, 2 if quick else _DAYS)
            rows += _beside_plotly(browser, Path(folder), days, visits=1 if quick else 3)
        browser.close()
    return rows


def _beside_plotly(browser: Browser, folder: Path, days: list[Day], *, visits: int) -> Iterator[Row]:
    today, *earlier = days
    channels = today.nodes.height
    history = History(earlier, today.name, today.events)
    data = render_page(
        today.nodes, today.edges, today.communities, facts={"title": "Bench"}, history=history
    )
    pages = {"atlas": folder / "atlas.html", "plotly": folder / "plotly.html"}
    pages["atlas"].write_bytes(data)
    pages["plotly"].write_text(plotly_page(today.nodes))
    seen: dict[str, list[Seen]] = {name: [] for name in pages}
    for _ in range(visits):
        for name, path in pages.items():
            seen[name].append(visit(browser, path))
    part = f"{channels:,} channels"
    most = PAGE_BYTES if channels <= _SIZES[0] else None
    yield Row(part, "page with its days", len(data) / 1e6, "MB", most=most and most / 1e6)
    yield Row(part, "page of Plotly", pages["plotly"].stat().st_size / 1e6, "MB")
    painted = {name: median(one.painted for one in each) for name, each in seen.items()}
    yield Row(part, "first paint", painted["atlas"], "ms", most=painted["plotly"])
    yield Row(part, "first paint of Plotly", painted["plotly"], "ms")
    frames = {name: [time for one in each for time in one.frames] for name, each in seen.items()}
    for name, of in (("atlas", ""), ("plotly", " of Plotly")):
        yield Row(part, f"frame{of}, p50", median(frames[name]), "ms")
        yield Row(part, f"frame{of}, p95", quantiles(frames[name], n=20)[-1], "ms")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small map, once: whether it runs")
    rows = measure(quick=parser.parse_args().quick)
    print(render(rows))
    return exit_code(rows)


if __name__ == "__main__":
    sys.exit(main())
