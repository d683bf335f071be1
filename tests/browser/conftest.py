"""The fixtures of the browser tests: Chromium, the planted world's page, and opening pages from files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import CHROMIUM_ARGUMENTS, chromium_path
from tests.worlds.pages import Planted, planted, write

DESKTOP = {"width": 1280, "height": 800}


# Per module: while Playwright's loop runs, no async test of another module can.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One headless Chromium with software WebGL for a module's tests."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def world() -> Planted:
    """The planted world that most tests look at."""
    return planted()


@pytest.fixture(scope="session")
def atlas(world: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted world's page as a file."""
    return write(world, tmp_path_factory.mktemp("atlas"))


@dataclass
class Seen:
    """What a page asked for and complained about."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


Opener = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opener]:
    """Opens a page file and waits until it is painted; in the end, no page may have complained.

    The opener takes the path, then by name: ``at`` (the address's #...), the viewport, and options of
    a browser context. Motion is reduced, so that what is asked for is there at once. ``page.seen`` has
    the requests.
    """
    contexts, all_seen = [], []

    def open_page(
        path: Path, *, at: str = "", viewport: dict[str, int] = DESKTOP, **options: object
    ) -> Page:
        context = browser.new_context(viewport=viewport, reduced_motion="reduce", **options)
        page = context.new_page()
        seen = Seen()
        contexts.append(context)
        all_seen.append(seen)
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("console", lambda said: seen.complaints.append(said.text) if said.type == "error" else None)
        page.goto(path.as_uri() + at)
        page.wait_for_function("document.documentElement.dataset.ready === 'true'")
        page.seen = seen
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [complaint for seen in all_seen for complaint in seen.complaints] == []
