"""Names: what they are made of, that they differ, and that they stay."""

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vieweratlas_dagster.analysis.labels import label_communities, unknown_overrides
from vieweratlas_dagster.analysis.stability import Previous
from vieweratlas_dagster.tables import AUDIENCES, COMMUNITIES, NODES, PARTITION


def labelled(rows, previous=None, overrides=None):
    """rows: (channel, viewers, game, language, community, region)."""
    audiences = pl.DataFrame(
        [
            {"channel": name, "viewers": viewers, "game_name": game, "language": language}
            for name, viewers, game, language, _, _ in rows
        ],
        schema=AUDIENCES.schema,
    )
    partition = PARTITION.conform(
        pl.DataFrame([(row[0], row[4], row[5]) for row in rows], schema=PARTITION.schema, orient="row")
    )
    frame = label_communities(audiences, partition, previous=previous, overrides=overrides)
    assert COMMUNITIES.problems(frame) == []
    return frame, {(row["level"], row["id"]): row for row in frame.iter_rows(named=True)}, partition


def as_previous(frame, partition):
    return Previous(partition, frame, NODES.empty())


ROWS = [
    ("ibai", 900, "Just Chatting", "es", 1, 1),
    ("rubius", 400, "Minecraft", "es", 1, 1),
    ("auron", 300, "Grand Theft Auto V", "es", 1, 1),
    ("lck", 800, "League of Legends", "ko", 2, 2),
    ("faker", 700, "League of Legends", "ko", 2, 2),
    ("variety", 10, "Chess", "ko", 2, 2),
    ("gotaga", 500, "Grand Theft Auto V", "fr", 3, 3),
    ("kamet", 100, "Chess", "fr", 3, 3),
    ("shroud", 5000, "VALORANT", "en", 4, 4),
    ("tenz", 3000, "VALORANT", "en", 4, 4),
    ("tommy", 2500, "Minecraft", "en", 5, 4),
    ("ranboo", 2400, "Fall Guys", "en", 5, 4),
]


def test_names_come_from_game_and_language_with_reason_and_confidence():
    _, named, _ = labelled(ROWS)
    labels = {key: row["label"] for key, row in named.items()}
    assert labels == {
        ("community", 1): "Just Chatting · Spanish",
        ("community", 2): "League of Legends · Korean",
        ("community", 3): "Grand Theft Auto V · French",
        ("community", 4): "VALORANT",
        ("community", 5): "Minecraft",
        ("region", 1): "Spanish",
        ("region", 2): "Korean",
        ("region", 3): "French",
        ("region", 4): "English",
    }
    korean = named["community", 2]
    assert korean["reason"] == (
        "99% of the audience watches League of Legends; 100% of the audience watches in Korean"
    )
    assert korean["confidence"] == pytest.approx(1500 / 1510)
    assert (korean["size"], korean["viewers"], korean["parent"], korean["generic"]) == (3, 1510, 2, False)


def test_a_community_of_many_games_is_named_by_its_language():
    rows = [(f"c{i}", 10, f"game {i}", "de", 1, 1) for i in range(5)] + [("x", 999, "Chess", "en", 2, 2)]
    assert labelled(rows)[1]["community", 1]["label"] == "German · c0"


def test_equal_names_are_told_apart_by_the_leading_channel():
    rows = [
        ("lck", 800, "League of Legends", "ko", 1, 1),
        ("small", 20, "League of Legends", "ko", 1, 1),
        ("faker", 700, "League of Legends", "ko", 2, 1),
        ("gaules", 9999, "Counter-Strike", "pt", 3, 2),
    ]
    _, named, _ = labelled(rows)
    assert named["community", 1]["label"] == "League of Legends · Korean · lck"
    assert named["community", 2]["label"] == "League of Legends · Korean · faker"


def test_a_community_never_repeats_the_name_of_a_region():
    rows = [(f"c{i}", 20 - i, f"game {i}", "es", 1, 1) for i in range(5)]
    rows += [(f"d{i}", 10 - i, f"game {i}", "es", 2, 1) for i in range(5)]
    rows += [("x", 999, "Chess", "en", 3, 2)]
    frame, named, partition = labelled(rows)
    assert named["region", 1]["label"] == "Spanish"
    assert named["community", 1]["label"] == "Spanish · c0"
    assert named["community", 2]["label"] == "Spanish · d0"
    only = [row for row in rows if row[4] != 2]
    assert labelled(only)[1]["community", 1]["label"] == "Spanish · c0"
    overtaken = [(name, 25 if name == "c1" else viewers, *rest) for name, viewers, *rest in rows]
    again = labelled(overtaken, as_previous(frame, partition))[1]
    assert again["community", 1]["label"] == "Spanish · c0"
    by_hand = labelled(rows, overrides={"region": {2: "spanish · c0"}})[1]
    assert by_hand["community", 1]["label"] == "Spanish · c0 & c1"


def test_names_for_what_is_not_on_the_map_are_told():
    frame, _, _ = labelled(ROWS)
    given_names = {"community": {3: "Here", 12: "Gone"}, "region": {5: "Never", 4: "Here"}}
    assert unknown_overrides(frame, given_names) == ["community 12 (Gone)", "region 5 (Never)"]
    assert unknown_overrides(frame, {}) == []


def test_without_games_and_languages_names_are_generic_but_human():
    rows = [(name, 10 - i, None, None, i // 2 + 1, 1) for i, name in enumerate("abcdef")]
    _, named, _ = labelled(rows)
    assert {row["label"] for (level, _), row in named.items() if level == "community"} == {
        "Around a & b",
        "Around c",
        "Around e",
    }
    assert named["region", 1]["label"] == "Around a"
    assert all(row["generic"] for row in named.values())


def test_unknown_audiences_count_alike():
    rows = [
        ("a", None, "Chess", "en", 1, 1),
        ("b", None, "Chess", "en", 1, 1),
        ("c", 9, "Art", "en", 1, 1),
    ]
    _, named, _ = labelled(rows)
    assert named["community", 1]["label"] == "Chess"
    assert named["community", 1]["confidence"] == pytest.approx(2 / 3)


def test_without_audiences_the_most_connected_channel_leads():
    rows = [(name, None, None, None, 1, 1) for name in ("aaa", "hub", "mmm", "zzz")]
    audiences = pl.DataFrame([{"channel": row[0]} for row in rows], schema=AUDIENCES.schema)
    partition = PARTITION.conform(
        pl.DataFrame([(row[0], 1, 1) for row in rows], schema=PARTITION.schema, orient="row")
    )
    edges = pl.DataFrame(
        [("aaa", "hub", 3.0), ("hub", "mmm", 0.25), ("hub", "zzz", 4.0)],
        schema={"source": pl.String, "target": pl.String, "weight": pl.Float64},
        orient="row",
    )
    frame = label_communities(audiences, partition, edges=edges)
    region, community = frame.sort("level", descending=True).iter_rows(named=True)
    assert region["label"] == "Around hub"
    assert region["reason"] == "hub is one of its biggest channels; no game or language prevails"
    assert region["confidence"] == 0.5
    assert community["label"] == "Around hub & zzz"


def test_a_name_stays_while_it_still_fits_nearly_as_well():
    frame, _, partition = labelled([("a", 55, "Chess", "en", 7, 1), ("b", 45, "Art", "en", 7, 1)])
    assert frame.filter(level="community")["label"].item() == "Chess"
    close = [("a", 50, "Chess", "en", 7, 1), ("b", 52, "Go", "en", 7, 1), ("c", 1, "Chess", "en", 7, 1)]
    assert labelled(close)[1]["community", 7]["label"] == "Go"
    assert labelled(close, as_previous(frame, partition))[1]["community", 7]["label"] == "Chess"
    moved = [("a", 5, "Chess", "en", 7, 1), ("b", 95, "Art", "en", 7, 1)]
    assert labelled(moved, as_previous(frame, partition))[1]["community", 7]["label"] == "Art"


def test_a_generic_name_stays_while_its_channel_leads():
    frame, _, partition = labelled([("a", 60, None, None, 1, 1), ("b", 50, None, None, 1, 1)])
    previous = as_previous(frame, partition)
    overtaken = labelled([("a", 60, None, None, 1, 1), ("b", 90, None, None, 1, 1)], previous)
    assert overtaken[1]["region", 1]["label"] == "Around a"
    assert overtaken[1]["community", 1]["label"] == "Around a & b"
    faded = labelled([("a", 10, None, None, 1, 1), ("b", 90, None, None, 1, 1)], previous)
    assert faded[1]["region", 1]["label"] == "Around b"
    assert faded[1]["community", 1]["label"] == "Around b & a"


def test_names_given_by_hand_win_and_others_make_way():
    overrides = {"community": {3: "VALORANT", 1: "Team Ibai"}, "region": {4: "The big one"}}
    _, named, _ = labelled(ROWS, overrides=overrides)
    assert named["community", 1]["label"] == "Team Ibai"
    assert named["community", 3]["label"] == "VALORANT"
    assert named["community", 4]["label"] == "VALORANT · shroud"
    assert named["region", 4]["label"] == "The big one"
    assert named["community", 3]["reason"] == "named by hand"


def test_colours_stay_with_the_id_and_new_ones_differ():
    frame, before, partition = labelled(ROWS)
    more = [*ROWS, ("new", 700, "Chess", "ja", 9, 9)]
    _, after, _ = labelled(more, as_previous(frame, partition))
    for key, row in before.items():
        assert after[key]["color"] == row["color"]
    assert after["region", 9]["color"] not in {row["color"] for row in before.values()}
    assert all(re.fullmatch("#[0-9a-f]{6}", row["color"]) for row in after.values())


def test_the_highest_id_is_handed_on():
    frame, named, partition = labelled(ROWS)
    assert {row["newest_id"] for key, row in named.items() if key[0] == "community"} == {5}
    later, named, partition = labelled(ROWS[:3], as_previous(frame, partition))
    assert {row["newest_id"] for row in named.values()} == {5, 4}
    assert as_previous(later, partition).newest_id("community") == 5


names = st.text("abcdefgh", min_size=1, max_size=3)
channel_rows = st.lists(
    st.tuples(
        names,
        st.none() | st.integers(0, 50),
        st.sampled_from([None, "Chess", "Art", "chess"]),
        st.sampled_from([None, "en", "ko", "other", "xx"]),
        st.integers(1, 4),
    ),
    max_size=14,
    unique_by=lambda row: row[0],
)


@settings(max_examples=80, deadline=None)
@given(channel_rows, st.dictionaries(st.integers(1, 4), st.sampled_from(["Chess", "Around a"]), max_size=1))
def test_labels_are_unique_in_their_level(rows, by_hand):
    frame, _, _ = labelled([(*row, row[4] % 2 + 1) for row in rows], overrides={"community": by_hand})
    for level in ("community", "region"):
        labels = frame.filter(level=level)["label"]
        assert labels.str.to_lowercase().is_duplicated().sum() == 0
        assert not labels.str.contains("(?i)^community|^region").any()
    named = frame.filter(pl.col("reason") != "named by hand")
    assert named["label"].str.to_lowercase().is_duplicated().sum() == 0
