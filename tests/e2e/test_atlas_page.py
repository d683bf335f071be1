"""The demo's atlas.html, opened as a user would open it."""

import polars as pl
import pytest
from playwright.sync_api import sync_playwright

from tests.browser.chromium import CHROMIUM_ARGUMENTS, chromium_path
from tests.conftest import ARTIFACTS


@pytest.mark.browser
def test_the_atlas_opens_from_the_file_without_errors_or_requests(finished_demo):
    folder = finished_demo.folder / "lake" / "curated" / "analysis" / "latest"
    nodes = pl.read_parquet(folder / "nodes.parquet")
    edges = pl.read_parquet(folder / "edges.parquet")
    biggest = nodes.sort("viewers", "channel", descending=[True, False]).row(0, named=True)
    ARTIFACTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        errors, requests = [], []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"{(folder / 'atlas.html').as_uri()}#channel={biggest['channel']}")
        page.wait_for_selector("html[data-ready=true]", timeout=60_000)
        text = page.inner_text("body")
        page.screenshot(path=ARTIFACTS / "demo-atlas.png")
        browser.close()
    assert errors == []
    assert [url.partition("#")[0] for url in requests] == [(folder / "atlas.html").as_uri()]
    assert f"{nodes.height} channels" in text
    assert biggest["label"] in text
    assert f"{biggest['viewers']:,} viewers" in text
    mine = edges.filter((pl.col("source") == biggest["channel"]) | (pl.col("target") == biggest["channel"]))
    strongest = mine.sort("shared_viewers", descending=True).row(0, named=True)
    assert f"{strongest['shared_viewers']:,}" in text
