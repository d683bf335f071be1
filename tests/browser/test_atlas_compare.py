"""Comparing channels, and the figures of communities, in a real browser against the planted frames."""

import math
import re
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener
from tests.worlds.pages import Planted, planted, write

pytestmark = pytest.mark.browser


def heading(page: Page):
    return page.locator("#panel h2")


def audience(world: Planted) -> dict[str, int]:
    return dict(world.nodes.select("channel", "viewers").iter_rows())


def shared(world: Planted, one: str, other: str) -> int | None:
    """The published amount of a pair, None when the frames have none."""
    return dict(world.neighbours(one)).get(other)


def bars(page: Page) -> dict[str, str]:
    """What each row of the comparison's tables is about, and its amount."""
    rows = page.locator("#panel .bars tr").evaluate_all(
        "rows => rows.map(row => [row.cells[0].textContent, row.querySelector('.amount').textContent])"
    )
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def circles(page: Page) -> list[tuple[float, float]]:
    """Centre and radius of the two circles."""
    return page.locator("#panel .venn circle").evaluate_all(
        "all => all.map(one => [+one.getAttribute('cx'), +one.getAttribute('r')])"
    )


def lens(one: float, other: float, distance: float) -> float:
    """Area that two circles share, by adding up thin strips."""
    steps, total = 20_000, 0.0
    left, right = max(-one, distance - other), min(one, distance + other)
    width = (right - left) / steps
    for step in range(steps):
        x = left + (step + 0.5) * width
        total += 2 * width * min(math.sqrt(one**2 - x**2), math.sqrt(other**2 - (x - distance) ** 2))
    return total


def trio(world: Planted) -> tuple[str, str, str]:
    """Three channels of which every two are neighbours."""
    first = "streamer_004"
    near = [name for name, _ in world.neighbours(first)]
    for one in near:
        for other in near:
            if one < other and shared(world, one, other):
                return first, one, other
    raise AssertionError("the planted world has no such three")


def test_two_channels_are_chosen_by_keyboard_and_split_exactly(opened: Opener, atlas: Path, world: Planted):
    first = "streamer_004"
    second = world.neighbours(first)[0][0]
    page = opened(atlas, at=f"#channel={first}")
    field = page.get_by_role("combobox", name="Compare with another channel")
    field.focus()
    page.keyboard.press("ArrowDown")
    names = page.locator("#compare-suggestions .name")
    expect(names.first).to_have_text(second)
    page.keyboard.type(second)
    page.keyboard.press("Enter")
    expect(heading(page)).to_have_text(f"{first} and {second}")
    expect(heading(page)).to_be_focused()
    assert page.url.endswith(f"#compare={first}&compare={second}")

    both, viewers = shared(world, first, second), audience(world)
    assert bars(page) == {
        f"only {first}": f"{viewers[first] - both:,}",
        "both": f"{both:,}",
        f"only {second}": f"{viewers[second] - both:,}",
    }
    expect(page.locator("#panel")).to_contain_text(
        f"{viewers[first] + viewers[second] - both:,} different viewers together"
    )
    (x, one), (other_x, other) = circles(page)
    unit = math.pi * one**2 / viewers[first]
    assert math.pi * other**2 / unit == pytest.approx(viewers[second], rel=1e-6)
    assert lens(one, other, abs(other_x - x)) / unit == pytest.approx(both, rel=1e-3)
    expect(page.get_by_role("img", name=f"they share {both:,}")).to_be_visible()


def test_a_number_in_the_list_compares_the_two(opened: Opener, atlas: Path, world: Planted):
    page = opened(atlas, at="#channel=streamer_004")
    name, both = world.neighbours("streamer_004")[1]
    page.locator("#panel table.neighbours tbody tr").nth(1).get_by_role("link", name=f"{both}").last.click()
    expect(heading(page)).to_have_text(f"streamer_004 and {name}")
    page.get_by_role("link", name="Remove streamer_004").click()
    expect(heading(page)).to_have_text(name)
    assert page.url.endswith(f"#channel={name}")


def test_three_channels_show_what_is_known_and_the_bounds_of_the_rest(
    opened: Opener, atlas: Path, world: Planted
):
    first, second, third = names = trio(world)
    page = opened(atlas, at=f"#compare={first}&compare={second}")
    page.locator("#compare").fill(third)
    page.locator("#compare").press("Enter")
    expect(heading(page)).to_have_text(f"{first}, {second} and {third}")
    expect(page.locator("#compare")).to_have_count(0)
    viewers = audience(world)
    ab, ac, bc = (shared(world, *pair) for pair in ((first, second), (first, third), (second, third)))
    sizes = [viewers[name] for name in names]
    # Everything that all three may share, with what each has alone then.
    possible = [
        (t, sizes[0] - ab - ac + t, sizes[1] - ab - bc + t, sizes[2] - ac - bc + t)
        for t in range(min(ab, ac, bc) + 1)
    ]
    possible = [parts for parts in possible if min(parts) >= 0]

    def told(values: list[int]) -> str:
        low, high = min(values), max(values)
        return f"at most {high:,}" if low == 0 else f"{low:,} to {high:,}"

    columns = list(zip(*possible, strict=True))
    assert bars(page) == {
        **{name: f"{viewers[name]:,}" for name in names},
        f"{first} and {second}": f"{ab:,}",
        f"{first} and {third}": f"{ac:,}",
        f"{second} and {third}": f"{bc:,}",
        "all three": told(columns[0]),
        **{f"only {name}": told(column) for name, column in zip(names, columns[1:], strict=True)},
    }


def test_a_pair_that_is_not_published_is_told_with_its_bound(opened: Opener, tmp_path: Path):
    world = planted(60)
    world.facts["overlap_threshold"] = 3
    page = opened(write(world, tmp_path))
    below = world.edges.filter(pl.col("shared_viewers") < 5).row(0, named=True)
    page.goto(page.url + f"#compare={below['source']}&compare={below['target']}")
    expect(heading(page)).to_contain_text(below["source"])
    viewers = audience(world)
    one, other = viewers[below["source"]], viewers[below["target"]]
    assert bars(page) == {
        f"only {below['source']}": f"{one - 4:,} to {one:,}",
        "both": "at most 4",
        f"only {below['target']}": f"{other - 4:,} to {other:,}",
    }
    expect(page.locator("#panel .unknown")).to_contain_text("fewer than 5 shared viewers are not published")
    expect(page.locator("#panel .venn")).to_have_count(0)


def test_lists_of_weights_are_compared_by_weight(opened: Opener, tmp_path: Path):
    world = planted(60)
    world.edges = world.edges.with_columns(
        weight=pl.col("shared_viewers") / 1000, shared_viewers=pl.lit(None, pl.Int64)
    )
    row = world.edges.sort("weight", descending=True).row(0, named=True)
    page = opened(write(world, tmp_path), at=f"#compare={row['source']}&compare={row['target']}")
    ((_, amount),) = bars(page).items()
    assert float(amount) == pytest.approx(row["weight"], rel=1e-3)
    expect(page.locator("#panel")).to_contain_text("coefficients, not viewer counts")
    expect(page.locator("#panel .venn")).to_have_count(0)


@pytest.mark.parametrize(("key", "level", "at"), [("community", "community", 22), ("region", "region", 2)])
def test_neighbouring_groups_by_shared_viewers(
    opened: Opener, atlas: Path, world: Planted, key: str, level: str, at: int
):
    page = opened(atlas, at=f"#{key}={at}")
    group = dict(world.nodes.select("channel", level).iter_rows())
    label = dict(world.communities.filter(level=level).select("id", "label").iter_rows())
    sums: dict[str, int] = {}
    for source, target, amount in world.edges.select("source", "target", "shared_viewers").iter_rows():
        ends = {group[source], group[target]}
        if amount >= 5 and at in ends and len(ends) == 2:
            (other,) = ends - {at}
            sums[label[other]] = sums.get(label[other], 0) + amount
    expected = sorted(sums.items(), key=lambda one: -one[1])[:8]
    assert len(expected) >= 2
    listed = page.locator("#panel ul.weighed li").evaluate_all(
        """rows => rows.map(row => ["a", ".number"].map(part => row.querySelector(part).textContent))"""
    )
    assert [(name, int(amount.replace(",", ""))) for name, amount in listed] == expected
    page.locator("#panel ul.weighed a").first.click()
    expect(heading(page)).to_have_text(expected[0][0])
    assert re.search(rf"#{key}=\d+$", page.url)
