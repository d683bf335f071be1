"""The atlas page's data: decoded again and compared with the frames it came from."""

import datetime as dt
import json
import random
import re
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vieweratlas_dagster import tables
from vieweratlas_dagster.publish import page

FACTS = {"title": "Test", "min_shared_published": 5}
BLOCK = re.compile(rb'<script type="application/json" id="atlas-data">(.*?)</script>', re.DOTALL)


def frames(names, pairs, viewers=None):
    """Frames of channels in one community of one region; pairs maps (source, target) to shared viewers."""
    degrees = Counter(name for pair in pairs for name in pair)
    nodes = pl.DataFrame(
        [
            {
                "channel": name,
                "viewers": (viewers or {}).get(name, 100),
                "game_name": "Chess",
                "language": "en",
                "community": 4,
                "region": 2,
                "label": "Chess",
                "region_label": "English",
                "x": 0.12345678 * at,
                "y": -0.5,
                "degree": degrees[name],
                "color": "#123456",
            }
            for at, name in enumerate(names)
        ],
        schema=tables.NODES.schema,
    )
    edges = pl.DataFrame(
        [
            {"source": source, "target": target, "shared_viewers": shared, "weight": shared}
            for (source, target), shared in pairs.items()
        ],
        schema=tables.EDGES.schema,
    )
    group = {"confidence": 0.9, "generic": False, "size": len(names), "viewers": 1000, "newest_id": 4}
    region = {"id": 2, "level": "region", "label": "English", "reason": "language en", "color": "#654321"}
    community = {
        "id": 4,
        "level": "community",
        "label": "Chess",
        "reason": "game Chess",
        "color": "#123456",
    }
    communities = pl.DataFrame(
        [group | region | {"parent": None}, group | community | {"parent": 2}],
        schema=tables.COMMUNITIES.schema,
    )
    return nodes, edges, communities


def decode(data):
    """The published pairs as {frozenset of names: amount}, by the format's description."""
    names = data["channels"]["name"]
    edges = data["edges"]
    pairs, slot = {}, 0
    for first, count in enumerate(edges["counts"]):
        second = first
        for _ in range(count):
            second += edges["targets"][slot]
            pair = frozenset((names[first], names[second]))
            assert pair not in pairs
            pairs[pair] = edges["amounts"][slot]
            slot += 1
    assert slot == len(edges["targets"]) == len(edges["amounts"])
    return pairs


@st.composite
def worlds(draw):
    names = [f"c{at}" for at in range(draw(st.integers(0, 12)))]
    possible = [(one, other) for one in names for other in names if one < other]
    chosen = draw(st.lists(st.sampled_from(possible), unique=True)) if possible else []
    pairs = {pair: draw(st.integers(1, 12)) for pair in chosen}
    return names, pairs, {name: draw(st.integers(1, 50)) for name in names}


@given(worlds(), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_published_pairs_are_those_at_or_above_the_floor(world, floor):
    names, pairs, viewers = world
    data = page.encode(*frames(names, pairs, viewers), facts={"min_shared_published": floor})
    expected = {frozenset(pair): shared for pair, shared in pairs.items() if shared >= floor}
    assert decode(data) == expected
    assert data["published"] == {
        "min_shared": floor,
        "neighbours_kept": 50,
        "pairs": len(pairs),
        "pairs_withheld": len(pairs) - len(expected),
        "pairs_cut": 0,
    }
    degrees = dict(zip(data["channels"]["name"], data["channels"]["neighbours"], strict=True))
    assert degrees == {name: sum(name in pair for pair in expected) for name in names}


def test_each_channel_keeps_its_strongest_neighbours():
    rng = random.Random(3)
    names = [f"c{at:03}" for at in range(90)]
    pairs = {(one, other): rng.randint(5, 400) for one in names for other in names if one < other}
    viewers = {name: rng.randint(1, 9) for name in names}
    data = page.encode(*frames(names, pairs, viewers), facts=FACTS)
    order = {name: at for at, name in enumerate(sorted(names, key=lambda name: (-viewers[name], name)))}
    expected = set()
    for name in names:
        touching = [(pair, shared) for pair, shared in pairs.items() if name in pair]
        other = {pair: pair[0] if pair[1] == name else pair[1] for pair, _ in touching}
        touching.sort(key=lambda item: (-item[1], order[other[item[0]]]))
        expected |= {frozenset(pair) for pair, _ in touching[: page.NEIGHBOURS_KEPT]}
    decoded = decode(data)
    assert set(decoded) == expected
    assert data["published"]["pairs_cut"] == len(pairs) - len(expected) > 0
    assert all(
        decoded[frozenset(pair)] == shared for pair, shared in pairs.items() if frozenset(pair) in expected
    )


def test_channels_come_by_audience_with_rounded_places_and_positions():
    names = ["anna", "bert", "cleo", "dora"]
    nodes, edges, communities = frames(names, {("anna", "bert"): 9}, {"anna": 5, "bert": 50, "cleo": 50})
    alone = pl.col("channel") == "dora"
    nodes = nodes.with_columns(
        [
            pl.when(~alone).then(column)
            for column in ("viewers", "community", "region", "game_name", "language")
        ]
    )
    data = page.encode(nodes, edges, communities, facts=FACTS)
    channels = data["channels"]
    assert channels["name"] == ["bert", "cleo", "anna", "dora"]
    assert channels["viewers"] == [50, 50, 5, None]
    assert channels["x"] == [1235, 2469, 0, 3704]
    assert channels["y"] == [-5000] * 4
    for column in ("community", "region", "game", "language"):
        assert channels[column] == [0, 0, 0, -1]
    assert (data["games"], data["languages"]) == (["Chess"], ["en"])
    assert data["communities"]["region"] == [0]
    assert data["regions"]["color"] == ["#654321"]


def test_weights_stand_in_where_no_viewers_are_known():
    nodes, edges, communities = frames(["a", "b", "c"], {("a", "b"): None, ("b", "c"): None})
    weighted = edges.with_columns(weight=pl.Series([0.123456, 2.0]))
    data = page.encode(nodes, weighted, communities, facts=FACTS)
    assert data["edges"]["amount"] == "weight"
    assert decode(data) == {frozenset("ab"): 0.1235, frozenset("bc"): 2.0}
    assert data["published"]["pairs_withheld"] == 0
    with pytest.raises(ValueError, match="weight does not cover every pair"):
        page.encode(nodes, edges, communities, facts=FACTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n, e, c: (n.head(1), e, c), "edges: target: 'b' is not in"),
        (lambda n, e, c: (n, e, c.head(1)), "nodes: community: 4 is not in"),
        (lambda n, e, c: (n, e, c.tail(1)), "communities: parent: 2 is not in"),
        (
            lambda n, e, c: (n.with_columns(y=pl.lit(float("nan"))), e, c),
            "y has a value that is not finite",
        ),
        (lambda n, e, c: (pl.concat([n, n]), e, c), "a channel occurs more than once"),
        (lambda n, e, c: (n, e.with_columns(target=pl.col("source")), c), "paired with itself"),
        (
            lambda n, e, c: (
                n,
                pl.concat([e, e.rename({"source": "target", "target": "source"}).select(e.columns)]),
                c,
            ),
            "a pair occurs more than once",
        ),
    ],
)
def test_broken_frames_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        page.encode(*change(*frames(["a", "b"], {("a", "b"): 9})), facts=FACTS)


def test_facts_become_json_values():
    facts = {
        "date_to": dt.date(2026, 1, 31),
        "modularity": float("nan"),
        "days": (1, 2),
        "more": {"a": None},
    }
    data = page.encode(*frames([], {}), facts=facts)
    assert data["facts"] == {
        "date_to": "2026-01-31",
        "days": [1, 2],
        "modularity": None,
        "more": {"a": None},
    }
    with pytest.raises(TypeError, match="neither a JSON value nor a date"):
        page.encode(*frames([], {}), facts={"odd": object()})


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True, max_size=6))
@settings(max_examples=60, deadline=None)
def test_no_name_ends_the_data_block(texts):
    names = [*texts, "</script><script>alert(1)</script>", "<!--", "\u2028&lt;"]
    html = page.render_page(*frames(list(dict.fromkeys(names)), {}), facts=FACTS)
    blocks = BLOCK.findall(html)
    assert len(blocks) == 1
    assert set(json.loads(blocks[0])["channels"]["name"]) == set(names)
    assert not re.search(rb"[<>&]|\xe2\x80[\xa8\xa9]", blocks[0])


def test_identical_input_gives_identical_bytes_in_any_row_order():
    names = [f"c{at}" for at in range(30)]
    pairs = {
        (one, other): 5 + (7 * len(one + other)) % 11 for one in names for other in names if one < other
    }
    nodes, edges, communities = frames(names, pairs)
    first = page.render_page(nodes, edges, communities, facts=FACTS)
    turned = edges.rename({"source": "target", "target": "source"}).select(edges.columns)
    again = page.render_page(
        nodes.reverse(), turned.sample(fraction=1, shuffle=True, seed=1), communities.reverse(), facts=FACTS
    )
    assert first == again


def test_the_page_has_a_policy_and_no_outside_address():
    html = page.render_page(*frames(["a", "b"], {("a", "b"): 7}), facts=FACTS).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "connect" not in policy
    assert not re.search(r'(?:src|href|action)="(?!data:|#)[^"]*"', html)
    assert len(html) < 330_000


def test_without_the_built_viewer_the_error_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(page, "files", lambda package: tmp_path)
    with pytest.raises(FileNotFoundError, match="make viewer"):
        page.render_page(*frames([], {}), facts=FACTS)


def test_five_thousand_channels_stay_below_three_megabytes():
    rng = random.Random(1)
    names = [f"channel_{at:05}" for at in range(5000)]
    pairs = {}
    while len(pairs) < 100_000:
        one, other = sorted(rng.sample(names, 2))
        pairs[one, other] = rng.randint(5, 50_000)
    assert len(page.render_page(*frames(names, pairs), facts=FACTS)) <= 3_000_000
