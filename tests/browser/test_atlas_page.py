"""The atlas page in a real browser, compared with the frames it was made from."""

import re
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import CHROMIUM_ARGUMENTS, chromium_path
from tests.browser.conftest import Opener
from tests.browser.pixels import color_at
from tests.worlds.pages import Planted, planted, write

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}


def heading(page: Page):
    return page.locator("#panel h2")


def wait_for_heading(page: Page, exact: str) -> None:
    """Waits for exactly this text, white space and all."""
    page.wait_for_function("text => document.querySelector('#panel h2')?.textContent === text", arg=exact)


def middle_of_free_map(page: Page) -> tuple[float, float]:
    """Where the page puts a channel it moves to: the middle of what the panels leave of the map."""
    area = page.locator("#map").bounding_box()
    left, right = area["x"], area["x"] + area["width"]
    top, bottom = area["y"], area["y"] + area["height"]
    wide = area["width"] >= 832
    if (legend := page.locator("#legend")).is_visible() and wide:
        left = legend.bounding_box()["x"] + legend.bounding_box()["width"]
    if (panel := page.locator("#panel")).is_visible():
        if wide:
            right = panel.bounding_box()["x"]
        else:
            bottom = panel.bounding_box()["y"]
    return (left + right) / 2, (top + bottom) / 2


def neighbour_rows(page: Page) -> list[list[str]]:
    return page.locator("#panel table.neighbours tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )


def expected_rows(world: Planted, channel: str) -> list[tuple[str, str, float, float]]:
    audience = dict(world.nodes.select("channel", "viewers").iter_rows())
    return [
        (name, f"{shared:,}", 100 * shared / audience[channel], 100 * shared / audience[name])
        for name, shared in world.neighbours(channel)[:50]
    ]


def assert_neighbours(page: Page, world: Planted, channel: str) -> None:
    rows = neighbour_rows(page)
    expected = expected_rows(world, channel)
    assert [(row[0], row[1]) for row in rows] == [(row[0], row[1]) for row in expected]
    assert len(rows) > 5
    for row, (_, _, own, other) in zip(rows, expected, strict=True):
        assert float(row[2].rstrip("%")) == pytest.approx(own, abs=0.5 if own >= 10 else 0.05001)
        assert float(row[3].rstrip("%")) == pytest.approx(other, abs=0.5 if other >= 10 else 0.05001)


def ink(page: Page, layer: str) -> int:
    """How many pixels of a canvas are drawn on."""
    return page.evaluate(
        """id => {
          const canvas = document.getElementById(id);
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let drawn = 0;
          for (let at = 3; at < data.length; at += 4) if (data[at] > 0) drawn++;
          return drawn;
        }""",
        layer,
    )


def test_opens_from_a_file_without_any_other_request(opened: Opener, atlas: Path, world: Planted):
    page = opened(atlas)
    assert [url for url in page.seen.requests if not url.startswith("data:")] == [atlas.as_uri()]
    expect(page).to_have_title("Planted atlas")
    expect(page.locator("#title")).to_have_text("Planted atlas")
    subtitle = page.locator("#subtitle").inner_text()
    assert "216 channels · 9 communities · 3 regions" in subtitle
    assert re.search(r"4\s*–\s*10 Jan 2026", subtitle)
    assert ink(page, "land") > 50_000
    assert ink(page, "labels") > 2_000


def test_discs_are_drawn_by_webgl(opened: Opener, atlas: Path):
    """The selected channel's disc has its community's colour on the screen."""
    page = opened(atlas, at="#channel=streamer_000")
    color = color_at(page, *middle_of_free_map(page))
    assert color == pytest.approx([0x1B, 0x6C, 0xA8], abs=6)


def test_search_finds_and_selects(opened: Opener, atlas: Path, world: Planted):
    page = opened(atlas)
    page.locator("#search").fill("STREAMER_01")
    options = page.locator("#suggestions [role=option]")
    expect(options).to_have_count(8)
    names = options.locator(".name").all_inner_texts()
    assert names == [f"streamer_{at:03}" for at in range(10, 18)]
    page.locator("#search").press("ArrowDown")
    page.locator("#search").press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    expect(page.locator("#search")).to_have_attribute("aria-activedescendant", "suggestions-1")
    page.locator("#search").press("Enter")
    expect(heading(page)).to_have_text("streamer_011")
    assert page.url.endswith("#channel=streamer_011")
    expect(page.locator("#suggestions")).to_be_hidden()
    assert_neighbours(page, world, "streamer_011")


def test_a_name_that_begins_others_can_be_asked_about(opened: Opener, atlas: Path):
    page = opened(atlas)
    page.locator("#search").fill("streamer_210")
    expect(page.locator("#suggestions .missing")).to_have_count(0)
    page.locator("#search").fill("streamer_21")
    expect(page.locator("#suggestions .missing")).to_have_text("streamer_21not on this map: why?")
    page.locator("#suggestions .missing").click()
    expect(heading(page)).to_have_text("streamer_21")


def test_search_without_a_match_says_so_and_escape_closes(opened: Opener, atlas: Path):
    page = opened(atlas)
    page.locator("#search").fill("nobody at all")
    expect(page.locator("#suggestions")).to_have_text("nobody at allnot on this map: why?")
    expect(page.locator("#panel")).to_be_hidden()
    page.locator("#search").press("Escape")
    expect(page.locator("#suggestions")).to_be_hidden()


def test_a_click_on_a_disc_shows_its_neighbours(opened: Opener, atlas: Path, world: Planted):
    page = opened(atlas, at="#channel=streamer_004")
    at = middle_of_free_map(page)
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    assert ink(page, "links") == 0
    page.mouse.click(*at)
    expect(heading(page)).to_have_text("streamer_004")
    row = world.nodes.row(by_predicate=pl.col("channel") == "streamer_004", named=True)
    details = page.locator("#panel dl").inner_text()
    for text in (
        f"{row['viewers']:,} viewers",
        row["game_name"],
        "German",
        row["label"],
        row["region_label"],
    ):
        assert text in details
    assert_neighbours(page, world, "streamer_004")
    assert ink(page, "links") > 500


def test_the_pointer_means_the_disc_on_top(opened: Opener, tmp_path: Path):
    """A small disc in the middle of the largest one: what is seen there is what a click selects."""
    world = planted()
    large, small = (world.nodes.row(at, named=True) for at in (0, 67))
    nodes = pl.DataFrame([large, small | {"x": large["x"], "y": large["y"]}], schema=world.nodes.schema)
    known = pl.col("id").is_in([one[level] for one in (large, small) for level in ("community", "region")])
    two = Planted(nodes, world.edges.clear(), world.communities.filter(known))
    page = opened(write(two, tmp_path), at="#channel=streamer_000")
    x, y = middle_of_free_map(page)
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    assert color_at(page, x, y) == [int(small["color"][at : at + 2], 16) for at in (1, 3, 5)]
    page.mouse.move(x, y)
    expect(page.locator("#map")).to_have_class(re.compile("pointing"))
    page.mouse.click(x, y)
    expect(heading(page)).to_have_text("streamer_067")
    page.keyboard.press("Escape")
    page.wait_for_timeout(400)  # two clicks in 0.3 s would be a double click
    page.mouse.click(x, y + 30)
    expect(heading(page)).to_have_text("streamer_000")


def test_neighbours_lead_on_and_back_returns(opened: Opener, atlas: Path, world: Planted):
    page = opened(atlas, at="#channel=streamer_004")
    nearest = world.neighbours("streamer_004")[0][0]
    page.get_by_role("link", name=nearest).click()
    expect(heading(page)).to_have_text(nearest)
    expect(heading(page)).to_be_focused()
    assert_neighbours(page, world, nearest)
    page.go_back()
    expect(heading(page)).to_have_text("streamer_004")


def test_a_click_on_the_sea_clears_the_selection(opened: Opener, atlas: Path):
    page = opened(atlas, at="#channel=streamer_004")
    area = page.locator("#map").bounding_box()
    page.keyboard.press("Escape")
    page.locator("#zoom-all").click()
    page.goto(atlas.as_uri() + "#region=1")
    expect(heading(page)).to_have_text("English")
    for _ in range(6):
        page.locator("#zoom-out").click()
    page.mouse.click(area["x"] + area["width"] / 2 - 60, area["y"] + 20)
    expect(page.locator("#panel")).to_be_hidden()


def test_a_name_on_the_map_opens_its_community_or_region(opened: Opener, atlas: Path):
    page = opened(atlas)
    area = page.locator("#map").bounding_box()
    for step in range(9 * 20):
        x = area["x"] + area["width"] * (0.3 + 0.6 * (step % 9) / 9)
        y = area["y"] + area["height"] * (0.1 + 0.8 * (step // 9) / 20)
        page.mouse.move(x, y)
        if not page.locator("#map.pointing").count():
            continue
        page.mouse.click(x, y)
        expect(page.locator("#panel")).to_be_visible()
        if not page.locator("#panel .kind").inner_text().lower().startswith("channel"):
            break
        page.keyboard.press("Escape")
    assert re.search(r"#(community|region)=\d+$", page.url)


def test_a_community_from_the_legend_lists_members_games_and_languages(
    opened: Opener, atlas: Path, world: Planted
):
    page = opened(atlas)
    page.locator("#legend").get_by_role("link", name="German Minecraft").click()
    expect(heading(page)).to_have_text("German Minecraft")
    assert page.url.endswith("#community=22")
    members = world.nodes.filter(pl.col("community") == 22).sort("viewers", descending=True)
    listed = page.locator("#panel ul.members li").evaluate_all(
        "rows => rows.map(row => row.innerText.split(/\\s+/))"
    )
    assert listed == [
        [name, f"{viewers:,}"] for name, viewers in members.select("channel", "viewers").iter_rows()
    ]
    assert page.locator("#panel ul.tally").all_inner_texts() == ["Minecraft\n100%", "German\n100%"]
    expect(page.locator("#legend a[aria-current=true]")).to_contain_text("German Minecraft")


@pytest.mark.parametrize(
    ("address", "title"),
    [
        ("#channel=streamer_042", "streamer_042"),
        ("#community=31", "Korean Rocket League"),
        ("#region=3", "Korean"),
    ],
)
def test_the_address_restores_the_view(opened: Opener, atlas: Path, address: str, title: str):
    page = opened(atlas, at=address)
    expect(heading(page)).to_have_text(title)
    page.reload()
    page.wait_for_function("document.documentElement.dataset.ready === 'true'")
    expect(heading(page)).to_have_text(title)


@pytest.mark.parametrize("address", ["#region=nobody", "#community=zzz", "#channel=%E0%A4%A", "#"])
def test_an_address_that_names_nothing_shows_the_whole_map(opened: Opener, atlas: Path, address: str):
    page = opened(atlas, at=address)
    expect(page.locator("#panel")).to_be_hidden()
    assert ink(page, "land") > 50_000


def test_theme_follows_the_system_and_the_button_changes_it_for_good(opened: Opener, atlas: Path):
    page = opened(atlas, color_scheme="dark")
    root, button = page.locator("html"), page.locator("#theme-toggle")
    expect(root).to_have_attribute("data-theme", "dark")
    background = "getComputedStyle(document.body).backgroundColor"
    land = "[...document.getElementById('land').getContext('2d').getImageData(640, 300, 1, 1).data]"
    dark = page.evaluate(background), page.evaluate(land)
    button.click()
    expect(root).to_have_attribute("data-theme", "light")
    expect(button).to_have_attribute("aria-pressed", "false")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    light = page.evaluate(background), page.evaluate(land)
    assert dark[0] != light[0]
    page.reload()
    expect(root).to_have_attribute("data-theme", "light")


def test_keyboard_alone_is_enough(opened: Opener, atlas: Path, world: Planted):
    page = opened(atlas)
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("streamer_007")
    page.keyboard.press("Enter")
    expect(heading(page)).to_be_focused()
    # After the heading come the channel's community, its region, and the field to compare with.
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("German Minecraft")
    for _ in range(3):
        page.keyboard.press("Tab")
    nearest = world.neighbours("streamer_007")[0][0]
    expect(page.locator(":focus")).to_have_text(nearest)
    page.keyboard.press("Enter")
    expect(heading(page)).to_have_text(nearest)
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    expect(page.locator("#map")).to_be_focused()
    before = page.locator("#labels").screenshot()
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.locator("#labels").screenshot() != before


def test_how_to_read_tells_the_facts_and_what_is_withheld(opened: Opener, atlas: Path, world: Planted):
    page = opened(atlas)
    page.get_by_role("button", name="How to read this map").click()
    text = page.locator("#help").inner_text()
    withheld = world.edges.filter(pl.col("shared_viewers") < 5).height
    assert withheld > 0
    assert f"fewer than 5 shared viewers are withheld: {withheld:,} of {world.edges.height:,}" in text
    assert "leiden" in text
    assert "0.726" in text
    assert "during 7 days" in text
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    expect(page.get_by_role("button", name="How to read this map")).to_be_focused()


def test_a_phone_gets_sheets_that_fit(opened: Opener, atlas: Path):
    page = opened(atlas, viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    expect(page.locator("#legend")).to_be_hidden()
    page.locator("#search").fill("streamer_004")
    page.locator("#suggestions [role=option]").first.tap()
    expect(heading(page)).to_have_text("streamer_004")
    sheet, area = page.locator("#panel").bounding_box(), page.locator("#map").bounding_box()
    assert sheet["x"] == 0
    assert sheet["width"] == PHONE["width"]
    assert sheet["y"] + sheet["height"] == pytest.approx(PHONE["height"], abs=1)
    assert sheet["height"] < 0.6 * area["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    at = middle_of_free_map(page)
    page.get_by_role("link", name="Close details").tap()
    expect(page.locator("#panel")).to_be_hidden()
    page.touchscreen.tap(*at)
    expect(heading(page)).to_have_text("streamer_004")
    page.locator("#legend-toggle").tap()
    page.locator("#legend").locator(".region > a").filter(has_text="Korean").tap()
    expect(heading(page)).to_have_text("Korean")
    expect(page.locator("#legend")).to_be_hidden()


HOSTILE = [
    "</script><script>window.hacked=1</script>",
    '<img src=x onerror="window.hacked=1">',
    "\u202eright to left\u202c שלום",
    "emoji 👩‍👩‍👧 \u2028 line",
    "javascript:window.hacked=1",
    "&lt;b&gt; & % # ' \" `",
]


def test_hostile_names_stay_text(opened: Opener, tmp_path: Path):
    world = planted(60, dict(enumerate(HOSTILE)))
    bad = HOSTILE[1]
    columns = [pl.lit(bad).alias("game_name"), pl.lit("<i>").alias("language")]
    world.nodes = world.nodes.with_columns(columns)
    world.communities = world.communities.with_columns(
        label=pl.col("label") + bad, reason=pl.lit(HOSTILE[0]), color=pl.col("color")
    )
    world.facts |= {"title": HOSTILE[0], "<b>odd</b>": bad}
    page = opened(write(world, tmp_path))
    expect(page.locator("#title")).to_have_text(HOSTILE[0])
    for name in HOSTILE:
        page.locator("#search").fill(name)
        page.locator("#suggestions [role=option]").first.click()
        wait_for_heading(page, name)
        listed = [row[0] for row in neighbour_rows(page)]
        assert listed == [other for other, _ in world.neighbours(name)[:50]]
        page.reload()
        page.wait_for_function("document.documentElement.dataset.ready === 'true'")
        wait_for_heading(page, name)
    page.locator("#legend a").nth(1).click()
    wait_for_heading(page, world.communities.filter(pl.col("level") == "community")["label"][0])
    page.locator("#help-open").click()
    assert bad in page.locator("#help").inner_text()
    assert page.evaluate("window.hacked") is None
    assert page.locator("#panel img, #panel i, #panel b, #legend img, #help b, #help img").count() == 0
    assert page.locator("script").count() == 3


def test_an_empty_atlas_says_so(opened: Opener, tmp_path: Path):
    world = planted()
    empty = Planted(world.nodes.clear(), world.edges.clear(), world.communities.clear())
    page = opened(write(empty, tmp_path))
    expect(page.locator("#notice")).to_contain_text("not contain any channel")
    expect(page.locator("#subtitle")).to_have_text("0 channels · 0 communities · 0 regions")
    page.locator("#search").fill("anyone")
    expect(page.locator("#suggestions")).to_contain_text("not on this map")


@pytest.mark.parametrize("settled", [True, False])
def test_one_channel_is_an_atlas(opened: Opener, tmp_path: Path, settled: bool):
    world = planted()
    nodes = world.nodes.head(1) if settled else world.nodes.tail(1)
    name = nodes["channel"][0]
    known = world.communities.filter(pl.col("id").is_in([1, 10])) if settled else world.communities.clear()
    page = opened(write(Planted(nodes, world.edges.clear(), known), tmp_path), at=f"#channel={name}")
    expect(heading(page)).to_have_text(name)
    expect(page.locator("#panel .empty")).to_contain_text(
        "No channel on this page shares enough viewers with it: at least 5"
    )
    at = middle_of_free_map(page)
    page.keyboard.press("Escape")
    page.mouse.click(*at)
    expect(heading(page)).to_have_text(name)


def test_lists_of_weights_show_weights(opened: Opener, tmp_path: Path):
    world = planted(60)
    world.edges = world.edges.with_columns(
        weight=pl.col("shared_viewers") / 1000, shared_viewers=pl.lit(None, pl.Int64)
    )
    world.nodes = world.nodes.with_columns(viewers=pl.lit(None, pl.Int64))
    page = opened(write(world, tmp_path), at="#channel=streamer_000")
    touching = world.edges.filter(
        (pl.col("source") == "streamer_000") | (pl.col("target") == "streamer_000")
    )
    weights = touching["weight"].sort(descending=True).to_list()
    assert [float(row[1]) for row in neighbour_rows(page)] == weights
    assert all(len(row) == 2 for row in neighbour_rows(page))
    expect(page.locator("#panel dl")).to_contain_text("unknown")


def test_without_webgl_everything_but_the_drawing_works(browser: Browser, atlas: Path, world: Planted):
    plain = browser.browser_type.launch(
        executable_path=chromium_path(), args=[*CHROMIUM_ARGUMENTS, "--disable-3d-apis"]
    )
    page = plain.new_page()
    page.goto(atlas.as_uri())
    page.wait_for_function("document.documentElement.dataset.ready === 'true'")
    expect(page.locator("#notice")).to_contain_text("not offer WebGL")
    page.locator("#search").fill("streamer_004")
    page.locator("#search").press("Enter")
    expect(heading(page)).to_have_text("streamer_004")
    assert_neighbours(page, world, "streamer_004")
    plain.close()
