"""The atlas page without a mouse, for small screens, and under axe's eyes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener
from tests.worlds.pages import Planted

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}
AXE = Path("vieweratlas_dagster/viewer/node_modules/axe-core/axe.min.js")


@pytest.fixture(scope="module")
def axe() -> str:
    """The scanner's script; it comes with the page's own development packages."""
    if not AXE.is_file():
        raise FileNotFoundError(f"{AXE} is missing: run `make viewer`")
    return AXE.read_text(encoding="utf-8")


def findings(page: Page, axe: str) -> list[str]:
    """Serious and critical findings, each with the elements it is about."""
    # Evaluated by the browser's own debugger, which the page's policy does not stop.
    page.evaluate(axe)
    result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert len(result["passes"]) > 10
    return [
        f"{found['id']}: {node['target']} {node['failureSummary']}"
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


def nothing(page: Page) -> None:
    pass


def open_filter(page: Page) -> None:
    page.locator("#filter-toggle").click()
    page.get_by_role("checkbox", name="Chess").check()


def open_help(page: Page) -> None:
    page.locator("#help-open").click()


def type_a_name(page: Page) -> None:
    page.locator("#search").fill("streamer_01")


# By name: an address, and what is done there.
VIEWS: dict[str, tuple[str, Callable[[Page], None]]] = {
    "start": ("#", nothing),
    "channel": ("#channel=streamer_004", nothing),
    "community": ("#community=22&game=Chess", nothing),
    "two": ("#compare=streamer_001&compare=streamer_010", nothing),
    "three": ("#compare=streamer_001&compare=streamer_004&compare=streamer_000", nothing),
    "search": ("#", type_a_name),
    "note": ("#compare=nobody", nothing),
    "filter": ("#", open_filter),
    "help": ("#", open_help),
}


def scanned(page: Page, axe: str, views: list[str]) -> dict[str, list[str]]:
    """Findings by view, of one page that is led through all of them."""
    found = {}
    for view in views:
        at, act = VIEWS[view]
        page.keyboard.press("Escape")
        page.evaluate("at => { location.hash = at; }", at)
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        act(page)
        found[view] = findings(page, axe)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Opener, atlas: Path, axe: str, scheme: str):
    page = opened(atlas, color_scheme=scheme)
    assert scanned(page, axe, list(VIEWS)) == {view: [] for view in VIEWS}


def test_axe_finds_nothing_serious_on_a_phone(opened: Opener, atlas: Path, axe: str):
    page = opened(atlas, viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    views = ["start", "channel", "three", "search", "filter", "help"]
    assert scanned(page, axe, views) == {view: [] for view in views}


def test_axe_would_find_something(opened: Opener, atlas: Path, axe: str):
    page = opened(atlas)
    page.evaluate("document.querySelector('#search').removeAttribute('aria-label')")
    page.evaluate("document.querySelector('#search').removeAttribute('placeholder')")
    assert [found for found in findings(page, axe) if "#search" in found]


def test_every_control_is_reached_by_tab_and_shows_the_focus(opened: Opener, atlas: Path):
    page = opened(atlas, at="#compare=streamer_001&compare=streamer_004")
    wanted = page.evaluate(
        """() => [...document.querySelectorAll("a[href], button, input, select, [tabindex='0']")]
             .filter(one => one.offsetParent !== null && !one.disabled)
             .map((one, at) => { one.dataset.stop = String(at); return String(at); })"""
    )
    assert len(wanted) > 20
    reached, unmarked = [], []
    for _ in range(len(wanted) + 5):
        page.keyboard.press("Tab")
        stop, visible = page.evaluate(
            """() => {
              const one = document.activeElement, style = getComputedStyle(one);
              const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
              return [one.dataset.stop ?? null, outlined];
            }"""
        )
        if stop is None:
            continue
        reached.append(stop)
        if not visible:
            unmarked.append(page.evaluate("document.activeElement.outerHTML"))
    assert set(reached) == set(wanted)
    assert unmarked == []


def test_arrows_lead_through_lists(opened: Opener, atlas: Path, world: Planted):
    page = opened(atlas, at="#channel=streamer_004")
    links = page.locator("#panel table.neighbours tbody th a")
    names = [name for name, _ in world.neighbours("streamer_004")[:50]]
    links.first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator(":focus")).to_have_text(names[2])
    page.keyboard.press("End")
    expect(page.locator(":focus")).to_have_text(names[-1])
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    expect(page.locator(":focus")).to_have_text(names[0])
    page.locator("#legend a").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(":focus")).to_contain_text("English Chess")


def test_filtering_comparing_and_closing_by_keyboard_alone(opened: Opener, atlas: Path, world: Planted):
    page = opened(atlas)
    page.locator("#filter-toggle").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#filters h2")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("#chip")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    page.wait_for_function("() => location.hash.split('game=').length === 3")
    page.keyboard.press("Escape")
    expect(page.locator("#filters")).to_be_hidden()
    expect(page.locator("#filter-toggle")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("streamer_004")
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.locator("#compare")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    nearest = world.neighbours("streamer_004")[0][0]
    expect(page.locator("#panel h2")).to_have_text(f"streamer_004 and {nearest}")
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    expect(page.locator("#map")).to_be_focused()


def test_keys_pressed_at_once_meet_the_new_view(opened: Opener, atlas: Path):
    page = opened(atlas)
    page.locator("#search").fill("streamer_004")
    focused = page.evaluate("""() => {
        const search = document.querySelector("#search");
        search.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
        return document.activeElement.textContent;
    }""")
    assert focused == "streamer_004"
    page.go_back()
    expect(page.locator("#panel")).to_be_hidden()
    page.go_forward()
    expect(page.locator("#panel h2")).to_have_text("streamer_004")


def test_motion_is_only_for_those_who_want_it(opened: Opener, atlas: Path):
    page = opened(atlas)
    still = page.locator("#labels").screenshot()
    page.locator("#zoom-in").click()
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    moved = page.locator("#labels").screenshot()
    assert moved != still
    page.wait_for_timeout(300)
    assert page.locator("#labels").screenshot() == moved
    assert page.evaluate("document.getAnimations().length") == 0


def test_a_phone_may_enlarge_the_page_and_get_out_again(opened: Opener, atlas: Path):
    page = opened(atlas, viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    viewport = page.locator("meta[name=viewport]").get_attribute("content")
    assert "user-scalable" not in viewport
    assert "maximum-scale" not in viewport
    passed = "() => getComputedStyle(document.querySelector('#graph')).pointerEvents === 'none'"
    assert not page.evaluate(passed)
    page.context.new_cdp_session(page).send("Emulation.setPageScaleFactor", {"pageScaleFactor": 2})
    page.wait_for_function(passed)
    assert page.evaluate("getComputedStyle(document.querySelector('#map')).touchAction") == "auto"
    page.context.new_cdp_session(page).send("Emulation.setPageScaleFactor", {"pageScaleFactor": 1})
    page.wait_for_function("() => !document.querySelector('#map.enlarged')")
    assert not page.evaluate(passed)


@pytest.mark.parametrize("wide", [320, 390, 768])
def test_small_screens_need_no_sideways_scrolling(opened: Opener, atlas: Path, wide: int):
    page = opened(
        atlas,
        at="#compare=streamer_001&compare=streamer_004&compare=streamer_000",
        viewport={"width": wide, "height": 700},
    )
    for box in ("html", "#panel"):
        fits = f"(box => box.scrollWidth <= box.clientWidth)(document.querySelector('{box}'))"
        assert page.evaluate(fits), box
    page.locator("#filter-toggle").click()
    box = page.locator("#filters").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= wide
