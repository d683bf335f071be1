"""Earlier days in the page's block: decoded by the format's description and compared with their frames."""

import base64
import dataclasses
import json
import random
import zlib
from functools import cache
from itertools import accumulate

import polars as pl
import pytest

from tests.worlds.map_history import planted_days
from vieweratlas_dagster import tables
from vieweratlas_dagster.publish import history, page
from vieweratlas_dagster.publish.history import Day, History, encode_history

EVENTS = pl.DataFrame(
    [{"level": "community", "kind": "born", "id": 7, "others": [], "members": ["a", "b"]}],
    schema=tables.EVENTS.schema,
)
PLENTY = 10**9


@cache
def days():
    return tuple(planted_days(80, 5))


def block(given, *, floor=5, budget=PLENTY, events=EVENTS):
    made = encode_history(History(given, "today", events), floor=floor, budget=budget)
    assert len(made.data) <= budget
    return made, json.loads(zlib.decompress(base64.b64decode(made.data))) if made.data else None


def channels_of(data):
    """Per day: {name: (viewers, game, language, community, region, x, y, neighbours)}."""
    last, found = {}, []
    for day in data["days"]:
        columns = day["channels"]
        rows = {}
        for row, at in enumerate(accumulate(columns["at"])):
            for name in ("viewers", "game", "language", "community", "region", "x", "y", "neighbours"):
                last[at, name] = last.get((at, name), 0) + columns[name][row]
            value = {name: last[at, name] for name in columns if name != "at"}
            texts = [*data["texts"], None]
            rows[data["names"][at]] = (
                value["viewers"] - 1 if value["viewers"] else None,
                *(texts[value[name]] for name in ("game", "language")),
                *(None if value[name] < 0 else value[name] for name in ("community", "region")),
                value["x"] / data["coordinate_steps"],
                value["y"] / data["coordinate_steps"],
                value["neighbours"],
            )
        found.append(rows)
    return found


def pairs_of(data):
    """Per day: {(name, name): amount} of the pairs that are told."""
    first = second = 0
    table = []
    for row, (step, gap) in enumerate(zip(data["pairs"]["first"], data["pairs"]["second"], strict=True)):
        if step or row == 0:
            first += step
            second = first
        second += gap
        table.append((data["names"][first], data["names"][second]))
    counts, found = [0] * len(table), []
    for day in data["days"]:
        amounts = day["amounts"]
        if day["amount"] == "shared_viewers":
            amounts = counts = [was + step for was, step in zip(counts, amounts, strict=True)]
        found.append({pair: amount for pair, amount in zip(table, amounts, strict=True) if amount})
    return found


def strongest(pairs, channel, kept):
    mine = [(amount, *pair) for pair, amount in pairs.items() if channel in pair]
    return sorted((amount for amount, *_ in mine), reverse=True)[:kept]


def test_every_day_reads_back_as_its_frames():
    _, data = block(days())
    for given, told in zip(days(), channels_of(data), strict=True):
        degrees = pl.concat(
            [given.edges.filter(pl.col("shared_viewers") >= 5)[end] for end in ("source", "target")]
        )
        assert set(told) == set(given.nodes["channel"])
        for node in given.nodes.iter_rows(named=True):
            *known, x, y, neighbours = told[node["channel"]]
            assert known == [
                node[name] for name in ("viewers", "game_name", "language", "community", "region")
            ]
            assert (x, y) == pytest.approx((node["x"], node["y"]), abs=0.0005001)
            assert neighbours == (degrees == node["channel"]).sum()


def test_the_strongest_pairs_of_every_channel_are_told_and_none_below_the_floor():
    _, data = block(days(), floor=40)
    kept = data["neighbours_kept"]
    assert kept == 8
    for given, told in zip(days(), pairs_of(data), strict=True):
        public = {
            (source, target): shared
            for source, target, shared in given.edges.select(
                "source", "target", "shared_viewers"
            ).iter_rows()
            if shared >= 40
        }
        assert 0 < len(public) < given.edges.height
        assert told.items() <= public.items()
        for channel in given.nodes["channel"]:
            assert strongest(told, channel, kept) == strongest(public, channel, kept)


def test_unknown_audiences_games_and_communities_stay_unknown():
    blank = [
        pl.lit(None, tables.NODES.schema[name]).alias(name)
        for name in ("viewers", "game_name", "community")
    ]
    one = dataclasses.replace(days()[0], nodes=days()[0].nodes.with_columns(blank))
    _, data = block([one, days()[1]])
    told, earlier = channels_of(data)
    assert {row[:4] for row in told.values()} == {(None, None, row[2], None) for row in told.values()}
    assert all(row[0] is not None for row in earlier.values())


def test_weights_are_told_as_they_are():
    edges = days()[0].edges.with_columns(
        shared_viewers=pl.lit(None, pl.Int64), weight=pl.col("weight") / 1000
    )
    one = dataclasses.replace(days()[0], edges=edges)
    _, data = block([one])
    assert data["days"][0]["amount"] == "weight"
    weights = dict(zip(zip(edges["source"], edges["target"], strict=True), edges["weight"], strict=True))
    for pair, amount in pairs_of(data)[0].items():
        assert amount == pytest.approx(weights[pair], rel=1e-3)


def test_weights_that_are_whole_numbers_are_no_counts_of_viewers():
    edges = days()[0].edges.with_columns(shared_viewers=pl.lit(None, pl.Int64))
    _, data = block([dataclasses.replace(days()[0], edges=edges), days()[1]])
    assert [day["amount"] for day in data["days"]] == ["weight", "shared_viewers"]
    counts = days()[1].edges.select("source", "target", "shared_viewers").iter_rows()
    assert pairs_of(data)[1].items() <= {(one, other): shared for one, other, shared in counts}.items()


def test_events_tell_how_many_channels_but_not_which():
    _, data = block([dataclasses.replace(days()[0], events=EVENTS)])
    told = {"level": "community", "kind": "born", "id": 7, "others": [], "channels": 2}
    assert data["events"] == data["days"][0]["events"] == [told]


@pytest.mark.slow
def test_less_room_means_fewer_neighbours_and_then_fewer_days():
    whole, _ = block(days())
    sizes = []
    for budget in range(len(whole.data), 0, -len(whole.data) // 25):
        made, told = block(days(), budget=budget)
        assert made.days == tuple(day.name for day in days())[: len(made.days)]
        sizes.append((len(made.days), told["neighbours_kept"] if told else 0))
    assert sizes == sorted(sizes, reverse=True)
    assert {count for count, _ in sizes} >= {5, 3}
    assert {kept for _, kept in sizes} >= {8, 3, 0}
    assert block(days(), budget=0)[0] == history.Block(b"", ())


def test_the_same_days_give_the_same_bytes_in_any_row_order():
    mixed = [
        Day(
            day.name,
            *(
                frame.sample(fraction=1, shuffle=True, seed=3)
                for frame in (day.nodes, day.edges, day.communities, day.events)
            ),
        )
        for day in days()
    ]
    assert block(mixed)[0] == block(days())[0]


def test_days_without_channels_are_left_out_and_names_must_differ():
    empty = dataclasses.replace(
        days()[0], name="empty", nodes=tables.NODES.empty(), edges=tables.EDGES.empty()
    )
    assert block([empty, days()[1]])[0].days == (days()[1].name,)
    assert block([empty])[0].data == b""
    with pytest.raises(ValueError, match="more than once"):
        block([days()[0], days()[0]])
    with pytest.raises(ValueError, match="more than once"):
        block([dataclasses.replace(days()[0], name="today")])


@pytest.mark.slow
def test_a_page_of_five_thousand_channels_and_fourteen_days_stays_below_three_megabytes():
    today, *earlier = planted_days(5000, 14)
    rng = random.Random(1)
    left_out = pl.DataFrame(
        [
            {
                "channel": f"left_out_{at}",
                "viewers": rng.randint(0, 9),
                "reason": "few",
                "kind": "few_viewers",
            }
            for at in range(6000)
        ],
        schema=tables.LEFT_OUT.schema,
    )
    made = page.render_page(
        today.nodes, today.edges, today.communities,
        facts={"title": "x"}, history=History(earlier, today.name, EVENTS), left_out=left_out,
    )  # fmt: skip
    data = json.loads(made.partition(b'id="atlas-data">')[2].partition(b"</script>")[0])
    assert len(data["days"]) == 14
    assert len(data["absent"]["name"]) == 5000
    assert data["absent"]["untold"] == 1000
    assert len(made) <= 3_000_000
