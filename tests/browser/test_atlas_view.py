"""Filtering, and the view that the address keeps, in a real browser."""

import math
import re
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener
from tests.browser.pixels import color_at, difference
from tests.worlds.pages import GAMES, REGIONS, Planted, planted, write

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}


def left_of(world: Planted, *conditions: pl.Expr) -> str:
    return f"{world.nodes.filter(*conditions).height} of {world.nodes.height} channels"


def picture(page: Page) -> bytes:
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.locator("#map").screenshot()


def address(page: Page) -> str:
    """The part that keeps the view; the browser itself is asked, as what it reports comes later."""
    return page.evaluate("location.hash")


def rested(page: Page) -> None:
    """Waits until the address has the camera."""
    page.wait_for_function("() => location.hash.includes('at=')")


def test_a_filter_dims_and_counts(opened: Opener, atlas: Path, world: Planted):
    page = opened(atlas)
    before = picture(page)
    page.get_by_role("button", name="Filter channels").click()
    expect(page.locator("#filters h2")).to_be_focused()
    page.get_by_role("checkbox", name="Chess").check()
    page.get_by_role("checkbox", name="Rocket League").check()
    chosen = pl.col("game_name").is_in(["Chess", "Rocket League"])
    expect(page.locator("#filters .left")).to_have_text(left_of(world, chosen))
    expect(page.get_by_role("checkbox", name="Rocket League")).to_be_focused()
    page.get_by_role("checkbox", name="German").check()
    german = pl.col("language") == "de"
    expect(page.locator("#filters .left")).to_have_text(left_of(world, chosen, german))
    # A choice says how many channels it would leave beside the rest of the filter.
    korean = page.locator("#filters li", has_text="Korean").locator(".number")
    expect(korean).to_have_text(str(world.nodes.filter(chosen, language="ko").height))
    page.get_by_label("at least").select_option("1000")
    expect(page.locator("#chip-text")).to_have_text(
        left_of(world, chosen, german, pl.col("viewers") >= 1000)
    )
    assert address(page) == "#game=Chess&game=Rocket%20League&language=de&least=1000"
    assert picture(page) != before
    page.locator("#legend-toggle").click()
    members = world.nodes.filter(chosen, german, pl.col("viewers") >= 1000, community=20).height
    entry = page.locator("#legend").get_by_role("link", name="German Chess")
    expect(entry.locator(".number")).to_have_text(f"{members} of {world.nodes.filter(community=20).height}")
    page.get_by_role("button", name="Show all", exact=True).click()
    expect(page.locator("#chip")).to_be_hidden()
    assert address(page) == ""


def test_the_map_goes_to_what_passes_the_filter(opened: Opener, atlas: Path, world: Planted):
    # Looking elsewhere, far from them.
    page = opened(atlas, at="#game=Chess&language=de&at=-0.9,-0.9,8")
    page.get_by_role("button", name="Go to them").click()
    page.wait_for_function("() => !location.hash.includes('at=-0.9')")
    x, y, zoom = map(float, address(page).partition("at=")[2].split(","))
    passing = world.nodes.filter(game_name="Chess", language="de").select("x", "y").to_numpy()
    low, high = passing.min(axis=0), passing.max(axis=0)
    # The legend covers a part of the map, so their middle is not quite the map's.
    assert [x, y] == pytest.approx((low + high) / 2, abs=max(high - low) / 4)
    assert 1 / max(high - low) < zoom < 4 / max(high - low)


def test_the_address_names_where_the_map_comes_to_rest(opened: Opener, atlas: Path):
    there = []
    for motion in ("reduce", "no-preference"):
        page = opened(atlas, at="#game=Chess&language=de&at=-0.9,-0.9,8")
        page.emulate_media(reduced_motion=motion)
        page.get_by_role("button", name="Go to them").click()
        page.wait_for_function("() => !location.hash.includes('at=-0.9')")
        there.append(address(page))
    assert there[0] == there[1]


def test_nowhere_is_gone_to_where_nothing_passes(opened: Opener, atlas: Path):
    page = opened(atlas, at="#game=Chess&language=ko&least=100000")
    expect(page.locator("#chip")).to_contain_text("0 of")
    expect(page.get_by_role("button", name="Go to them")).to_be_hidden()
    page.get_by_role("button", name="Show all", exact=True).click()
    expect(page.locator("#chip")).to_be_hidden()


def test_a_channel_that_is_filtered_out_is_drawn_dimmed(opened: Opener, atlas: Path, world: Planted):
    """A disc loses its community's colour when its game is not among those chosen."""
    places = {row["channel"]: row for row in world.nodes.head(60).iter_rows(named=True)}

    def room(one: dict) -> float:
        return min(
            math.dist((one["x"], one["y"]), (other["x"], other["y"]))
            for other in world.nodes.iter_rows(named=True)
            if other["channel"] != one["channel"]
        )

    # Of the larger discs, the one that no other lies over.
    disc = max(places.values(), key=room)
    page = opened(atlas)
    area = page.locator("#map").bounding_box()

    def seen(games: str) -> list[int]:
        page.evaluate("at => { location.hash = at; }", f"#{games}at={disc['x']:.4f},{disc['y']:.4f},8")
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return color_at(page, area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)

    others = [game for game in GAMES if game != disc["game_name"]]
    color = list(bytes.fromhex(REGIONS[disc["region"]][1][1:]))
    assert seen("") == pytest.approx(color, abs=6)
    assert seen(f"game={disc['game_name']}&game={others[0]}&") == pytest.approx(color, abs=6)
    dimmed = seen(f"game={others[0]}&game={others[1]}&")
    assert max(dimmed) - min(dimmed) < 40
    assert min(dimmed) > 150


def test_the_filter_stays_while_one_looks_around(opened: Opener, atlas: Path):
    page = opened(atlas, at="#game=Chess")
    page.locator("#search").fill("streamer_000")
    page.keyboard.press("Enter")
    expect(page.locator("#panel h2")).to_have_text("streamer_000")
    assert address(page) == "#channel=streamer_000&game=Chess"
    page.locator("#panel dl a").first.click()
    expect(page.locator("#panel .kind")).to_contain_text("Community")
    assert address(page) == "#community=10&game=Chess"
    page.keyboard.press("Escape")
    assert address(page) == "#game=Chess"
    page.go_back()
    expect(page.locator("#panel .kind")).to_contain_text("Community")


def test_the_camera_is_shared_with_the_address(opened: Opener, atlas: Path):
    page = opened(atlas, at="#channel=streamer_004")
    page.locator("#map").focus()
    for key in ("+", "+", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    rested(page)
    shared = address(page)
    assert re.fullmatch(r"#channel=streamer_004&at=-?[\d.]+,-?[\d.]+,[\d.]+", shared)
    seen = picture(page)
    again = opened(atlas, at=shared)
    again.locator("#map").focus()
    # Not to the pixel: the address has six digits.
    assert difference(picture(again), seen) < 0.5
    again.keyboard.press("ArrowRight")
    assert difference(picture(again), seen) > 2


def test_the_land_stays_under_its_channels_while_the_map_is_zoomed(opened: Opener, atlas: Path):
    """While the picture of the land is only stretched, its middle stays where the pointer zooms."""
    page = opened(atlas)
    area = page.locator("#map").bounding_box()
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
    page.evaluate(
        """() => {
          const [land, map] = [document.getElementById("land"), document.getElementById("map")];
          window.seen = [];
          requestAnimationFrame(function next() {
            const [picture, view] = [land.getBoundingClientRect(), map.getBoundingClientRect()];
            const off = (low, high) => (picture[low] + picture[high] - view[low] - view[high]) / 2;
            seen.push([picture.width / land.offsetWidth, off("left", "right"), off("top", "bottom")]);
            requestAnimationFrame(next);
          });
        }"""
    )
    page.mouse.wheel(0, -40)
    page.wait_for_timeout(800)
    frames = page.evaluate("seen")
    assert any(factor > 1.02 for factor, _, _ in frames)
    assert max(abs(off) for _, *offs in frames for off in offs) < 1.5
    assert frames[-1][0] == 1


def test_dragging_the_map_is_in_the_address_too_and_showing_everything_is_not(opened: Opener, atlas: Path):
    page = opened(atlas)
    page.mouse.move(900, 300)
    page.mouse.down()
    page.mouse.move(700, 420, steps=5)
    page.mouse.up()
    rested(page)
    page.get_by_role("button", name="Show everything").click()
    assert "at=" not in address(page)
    page.wait_for_timeout(500)
    assert "at=" not in address(page)


def test_a_click_on_land_selects_without_moving(opened: Opener, atlas: Path, world: Planted):
    # Beside every disc and name of a community's land, close to its members' middle.
    page = opened(atlas, at="#community=22")
    for _ in range(3):
        page.locator("#zoom-in").click()
    rested(page)
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    area = page.locator("#map").bounding_box()
    for step in range(60):
        x = area["x"] + area["width"] * (0.35 + 0.3 * (step % 10) / 10)
        y = area["y"] + area["height"] * (0.3 + 0.4 * (step // 10) / 6)
        page.mouse.click(x, y)
        if (
            page.locator("#panel .kind").count()
            and "Community" in page.locator("#panel .kind").inner_text().title()
        ):
            break
        page.keyboard.press("Escape")
    expect(page.locator("#panel h2")).to_contain_text("German")
    assert re.search(r"#community=2\d&at=", address(page))


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("#compare=nobody", "nobody"),
        ("#game=Chess&game=Tetris", "Tetris"),
        ("#compare=%3Cimg%20src=x%20onerror=%22window.hacked=1%22%3E", "<img src=x onerror="),
        ("#at=1e999,0,1", "1e999"),
        ("#%E0%A4%A", "%E0%A4%A"),
        ("#channel=" + "a" * 9000, "too long"),
    ],
)
def test_what_an_address_names_in_vain_is_told_gently(opened: Opener, atlas: Path, at: str, told: str):
    page = opened(atlas, at=at)
    expect(page.locator("#toast")).to_contain_text(told)
    assert page.evaluate("window.hacked") is None
    assert page.locator("#toast img").count() == 0
    expect(page.locator("#panel")).to_be_hidden()
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator("#toast")).to_be_hidden()


def test_an_address_that_is_understood_is_no_matter_for_a_note(opened: Opener, atlas: Path):
    page = opened(atlas, at="#compare=streamer_001&compare=streamer_004&language=de&least=500")
    expect(page.locator("#panel h2")).to_have_text("streamer_001 and streamer_004")
    expect(page.locator("#toast")).to_be_hidden()


def test_filtering_on_a_phone(opened: Opener, atlas: Path, world: Planted):
    page = opened(atlas, viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    page.get_by_role("button", name="Filter channels").tap()
    page.get_by_text("Minecraft", exact=True).tap()
    chip = page.locator("#chip")
    expect(chip).to_contain_text(left_of(world, pl.col("game_name") == "Minecraft"))
    box, sheet = chip.bounding_box(), page.locator("#filters").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= page.locator(".zoom").bounding_box()["x"]
    assert box["y"] + box["height"] <= sheet["y"]
    for button in chip.get_by_role("button").all():
        words, around = button.evaluate("""it => {
            const text = document.createRange();
            text.selectNodeContents(it);
            return [text.getBoundingClientRect().width, it.clientWidth];
        }""")
        assert words + 8 < around
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_role("button", name="Close the filter").tap()
    expect(page.locator("#filters")).to_be_hidden()
    expect(chip).to_be_visible()


HOSTILE = '<img src=x onerror="window.hacked=1">'


def test_hostile_names_stay_text_in_filter_comparison_and_notes(opened: Opener, tmp_path: Path):
    names = {0: HOSTILE, 3: "\u202eright to left שלום", 6: "👩‍👩‍👧 & =#%,"}
    world = planted(60, names)
    world.nodes = world.nodes.with_columns(game_name=pl.lit(HOSTILE), language=pl.lit("<i>x</i>"))
    world.communities = world.communities.with_columns(label=pl.col("label") + HOSTILE)
    page = opened(write(world, tmp_path))
    page.get_by_role("button", name="Filter channels").click()
    page.locator("#filters").get_by_role("checkbox").first.check()
    expect(page.locator("#chip")).to_contain_text("60 of 60")
    page.locator("#search").fill(names[0])
    page.keyboard.press("Enter")
    for at in (3, 6):
        page.locator("#compare").fill(names[at])
        page.locator("#compare").press("Enter")
        page.wait_for_function(
            "name => document.querySelector('#panel h2').textContent.includes(name)", arg=names[at]
        )
    assert page.locator("#panel .compared a:not(.remove)").all_text_contents() == [
        names[0],
        names[3],
        names[6],
    ]
    page.reload()
    page.wait_for_function("document.documentElement.dataset.ready === 'true'")
    assert page.locator("#panel .compared a:not(.remove)").all_text_contents() == [
        names[0],
        names[3],
        names[6],
    ]
    expect(page.locator("#toast")).to_be_hidden()
    page.goto(page.url.split("#")[0] + "#region=1")
    expect(page.locator("#panel h3").first).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main i:not(.dots i), dialog img").count() == 0
