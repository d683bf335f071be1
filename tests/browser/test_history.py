"""Earlier days and missing channels on the page, in a real browser, compared with their frames."""

from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener
from tests.browser.past import EARLIER, FORMER, NEWCOMER, TODAY, day, left_out, with_past
from tests.worlds.pages import Planted
from vieweratlas_dagster.publish.page import render_page

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}
HOSTILE = '</script><img src=x onerror="window.hacked=1">'
SHOWN = {
    TODAY: "10 Jan 2026", EARLIER[0]: "9 Jan 2026", EARLIER[1]: "8 Jan 2026", EARLIER[2]: "7 Jan 2026"
}  # fmt: skip


@pytest.fixture(scope="module")
def past(world: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dated, history = with_past(world)
    page = render_page(
        dated.nodes, dated.edges, dated.communities,
        facts=dated.facts, history=history, left_out=left_out(FORMER, "too_small", HOSTILE),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("past") / "atlas.html"
    path.write_bytes(page)
    return path


def slider(page: Page):
    return page.get_by_role("slider", name="Day shown")


def shown_day(page: Page, date: str) -> None:
    expect(page.locator("#days output")).to_have_text(SHOWN[date])
    address = "" if date == TODAY else f"day={date}"
    page.wait_for_function(
        "part => part ? location.hash.includes(part) : !location.hash.includes('day=')", arg=address
    )


def heading(page: Page):
    return page.locator("#panel h2")


def audience(page: Page) -> int:
    text = page.locator("#panel dl dd").first.inner_text()
    return int(text.split(" ")[0].replace(",", ""))


def neighbours(page: Page) -> list[tuple[str, int]]:
    rows = page.locator("#panel table.neighbours tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return [(row[0], int(row[1].replace(",", ""))) for row in rows]


def expected_neighbours(edges: pl.DataFrame, channel: str) -> list[int]:
    mine = edges.filter((pl.col("source") == channel) | (pl.col("target") == channel))
    return mine.filter(pl.col("shared_viewers") >= 5)["shared_viewers"].sort(descending=True).to_list()


def viewers_of(world: Planted, back: int, channel: str) -> int:
    return day(world, back).nodes.filter(pl.col("channel") == channel)["viewers"][0]


def test_the_slider_shows_each_days_figures_and_keeps_the_channel(
    opened: Opener, past: Path, world: Planted
):
    page = opened(past, at="#channel=streamer_007")
    land = "document.getElementById('land').toDataURL()"
    shown_day(page, TODAY)
    at_first = page.evaluate(land)
    for back, date in enumerate(EARLIER, 1):
        page.get_by_role("button", name="Previous day").click()
        shown_day(page, date)
        expect(heading(page)).to_have_text("streamer_007")
        expect(page.locator("#panel dl dd").first).to_contain_text(
            f"{viewers_of(world, back, 'streamer_007'):,}"
        )
        found = neighbours(page)
        assert [shared for _, shared in found] == expected_neighbours(
            day(world, back).edges, "streamer_007"
        )[: len(found)]
        assert len(found) == 8
    expect(page.get_by_role("button", name="Previous day")).to_be_disabled()
    assert page.evaluate(land) != at_first
    assert page.seen.requests == [page.url.split("#")[0]]
    slider(page).fill("3")
    shown_day(page, TODAY)
    assert audience(page) == world.nodes.filter(pl.col("channel") == "streamer_007")["viewers"][0]
    expect(page.get_by_role("button", name="Next day")).to_be_disabled()


def test_nothing_is_unpacked_before_it_is_asked_for(opened: Opener, past: Path):
    page = opened(past)
    page.add_init_script(
        "window.unpacked = 0; const Stream = DecompressionStream; window.DecompressionStream ="
        " class extends Stream { constructor(format) { super(format); window.unpacked += 1; } };"
    )
    page.goto(f"{past.as_uri()}#channel=streamer_007")
    page.reload()
    page.wait_for_function("document.documentElement.dataset.ready === 'true'")
    assert page.evaluate("window.unpacked") == 0
    page.get_by_role("button", name="Previous day").click()
    shown_day(page, EARLIER[0])
    page.locator("#panel .past > summary").click()
    expect(page.locator("svg.trend")).to_have_count(1)
    assert page.evaluate("window.unpacked") == 1


def test_the_keyboard_moves_the_slider(opened: Opener, past: Path):
    page = opened(past)
    slider(page).focus()
    page.keyboard.press("ArrowLeft")
    shown_day(page, EARLIER[0])
    expect(slider(page)).to_be_focused()
    expect(slider(page)).to_have_attribute("aria-valuetext", SHOWN[EARLIER[0]])
    page.keyboard.press("Home")
    shown_day(page, EARLIER[2])
    page.keyboard.press("End")
    shown_day(page, TODAY)


def test_the_address_restores_the_day(opened: Opener, past: Path, world: Planted):
    page = opened(past, at=f"#channel=streamer_010&day={EARLIER[1]}")
    shown_day(page, EARLIER[1])
    expect(page.locator("#panel dl dd").first).to_contain_text(f"{viewers_of(world, 2, 'streamer_010'):,}")
    page.locator("#panel table.neighbours tbody a").first.click()
    shown_day(page, EARLIER[1])
    page.go_back()
    expect(heading(page)).to_have_text("streamer_010")
    expect(page.locator("#subtitle")).to_contain_text(SHOWN[EARLIER[1]])


def test_a_channels_trend_is_a_line_with_words_and_a_table(opened: Opener, past: Path, world: Planted):
    page = opened(past, at="#channel=streamer_007")
    expect(page.locator("svg.trend")).to_have_count(0)
    page.locator("#panel .past > summary").click()
    every = [viewers_of(world, back, "streamer_007") for back in (3, 2, 1)]
    every.append(world.nodes.filter(pl.col("channel") == "streamer_007")["viewers"][0])
    text = page.get_by_role("img", name="Audience by day")
    assert f"From {every[0]:,} on 7 Jan 2026 to {every[-1]:,} viewers on 10 Jan 2026" in text.text_content()
    points = page.locator("svg.trend polyline").get_attribute("points").split(" ")
    heights = [float(point.split(",")[1]) for point in points]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] == pytest.approx(59 - 54 * every[0] / every[-1], abs=0.06)
    page.locator("#panel .past details summary").click()
    rows = page.locator("#panel table.days td").all_inner_texts()
    assert rows == [f"{value:,}" for value in every]


def test_neighbours_that_came_and_went_are_told(opened: Opener, past: Path, world: Planted):
    friend = next(
        name
        for name in world.nodes["channel"]
        if NEWCOMER in [other for other, _ in world.neighbours(name)[:3]]
    )
    page = opened(past, at=f"#channel={friend}")
    page.locator("#panel .past > summary").click()
    expect(page.locator("#panel .company")).to_have_count(2)
    new, gone = page.locator("#panel .company").all()
    assert NEWCOMER in new.inner_text()
    assert FORMER in gone.inner_text()
    gone.get_by_role("link", name=FORMER).click()
    expect(heading(page)).to_have_text(FORMER)


def test_events_are_told_by_day_and_at_their_community(opened: Opener, past: Path):
    page = opened(past, at=f"#day={EARLIER[0]}")
    changes = page.locator(".day-changes")
    expect(changes.locator("summary")).to_have_text("1 change on this day")
    changes.locator("summary").click()
    expect(changes.locator("li")).to_have_text(
        "Community English Chess split into English Chess and English Rocket League (2 channels)"
    )
    page.get_by_role("button", name="Next day").click()
    expect(changes.locator("li")).to_have_text("Region Korean is new (2 channels)")
    page.get_by_role("button", name="Previous day").click()
    changes.get_by_role("link", name="English Rocket League").click()
    expect(heading(page)).to_have_text("English Rocket League")
    page.locator("#panel .past > summary").click()
    expect(page.locator("#panel .past h4")).to_have_text(SHOWN[EARLIER[0]])
    expect(page.locator("#panel .past li")).to_contain_text("split into")


def test_a_channel_that_is_left_out_is_found_and_says_why(opened: Opener, past: Path):
    page = opened(past)
    page.locator("#search").fill("too_sm")
    page.locator("#search").press("Enter")
    expect(heading(page)).to_have_text("too_small")
    expect(page.locator("#panel .why")).to_have_text(
        "Only 120 viewers were seen in its chat; a channel on this map has at least 400."
    )
    page.reload()
    expect(heading(page)).to_have_text("too_small")
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()


def test_an_unknown_channel_gets_an_honest_answer(opened: Opener, past: Path):
    page = opened(past)
    page.locator("#search").fill("nobody_knows_me")
    page.locator("#suggestions [role=option]").click()
    expect(page.locator("#panel .why")).to_have_text(
        "This page does not contain data on this channel: to be on the map, it must be among the 5,000 "
        "largest live channels."
    )


def test_a_former_channel_comes_back_with_its_day(opened: Opener, past: Path, world: Planted):
    page = opened(past, at=f"#channel={FORMER}")
    expect(page.locator("#panel .why")).to_contain_text("120 viewers")
    page.locator("#panel .past > summary").click()
    expect(page.locator("#panel .past")).to_contain_text("It was not on the map on 1 of 4 days")
    page.get_by_role("button", name="Previous day").click()
    shown_day(page, EARLIER[0])
    expect(page.locator("#panel dl dd").first).to_contain_text(f"{viewers_of(world, 1, FORMER):,}")
    page.locator("#search").fill(NEWCOMER)
    page.locator("#search").press("Enter")
    expect(page.locator("#panel .why")).to_have_text(
        "It is not on the map of 9 Jan 2026, but it is on the newest map."
    )


def test_a_hostile_name_that_is_left_out_stays_text(opened: Opener, past: Path):
    page = opened(past)
    page.locator("#search").fill("onerror")
    page.locator("#suggestions [role=option]").click()
    expect(heading(page)).to_have_text(HOSTILE)
    assert page.evaluate("window.hacked") is None


def test_on_a_phone_the_slider_fits(opened: Opener, past: Path):
    page = opened(past, viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    box, zoom = page.locator("#days").bounding_box(), page.locator(".zoom").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= zoom["x"]
    page.get_by_role("button", name="Previous day").tap()
    shown_day(page, EARLIER[0])
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_without_earlier_days_there_is_no_slider(opened: Opener, atlas: Path):
    page = opened(atlas, at="#channel=streamer_007")
    expect(page.locator("#days")).to_be_hidden()
    expect(page.locator("#panel .past")).to_have_count(0)


def test_a_block_that_cannot_be_read_says_so(opened: Opener, past: Path, tmp_path: Path):
    text = past.read_text()
    start = text.index('id="atlas-history">') + len('id="atlas-history">')
    broken = tmp_path / "atlas.html"
    broken.write_text(f"{text[:start]}AAAA{text[start + 4 :]}")
    page = opened(broken)
    page.get_by_role("button", name="Previous day").click()
    expect(page.locator("#notice")).to_contain_text("The earlier days cannot be read")
