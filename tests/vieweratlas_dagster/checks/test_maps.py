"""The checks of graph, communities and map, on results that fit together and on results that do not."""

import polars as pl
import pytest

from tests.worlds.checked_day import DAY, limits, numbers, put, result, verdict
from vieweratlas_dagster.checks import maps
from vieweratlas_dagster.lake.keys import analysis_key
from vieweratlas_dagster.lake.manifests import finish_map
from vieweratlas_dagster.settings import Settings

BEFORE = "2026-02-28"


def change(resource, name, frame, day=DAY):
    put(resource.lake, analysis_key(day, f"{name}.parquet"), frame)


def test_an_impossible_overlap_blocks(resource, made):
    change(resource, "edges", made[1].edges.with_columns(shared_viewers=pl.lit(21, pl.Int64)))
    evaluation = result(maps.overlap_is_possible, resource)
    assert verdict(evaluation) == (False, "ERROR")
    assert evaluation.blocking
    assert evaluation.description == "6 edges share more viewers than a channel has"
    assert numbers(evaluation) == {"problems": 1, "edges": 6}


@pytest.mark.parametrize(
    ("bots", "giants", "tireless", "passed"),
    [
        (0, 0, 0, True),
        (51, 0, 0, True),
        (52, 0, 0, False),
        (0, 30, 0, True),
        (0, 31, 0, False),
        (0, 0, 6, True),
        (0, 0, 7, False),
    ],
)
def test_exclusions_are_bounded_by_their_share_of_the_pairs(resource, made, bots, giants, tireless, passed):
    # 120 pairs are in the graph; of 171 with 51 of bots, 0.298 are bots'.
    every = 120 + bots + giants + tireless
    rows = (
        made[1]
        .exclusions.sort("reason")
        .with_columns(memberships=pl.Series([bots, giants, tireless]), viewers=pl.Series([3, 4, 5]))
    )
    assert rows["reason"].to_list() == ["known bot", "too many channels", "too many hours"]
    change(resource, "exclusions", rows)
    evaluation = result(maps.exclusions_are_bounded, resource)
    assert verdict(evaluation) == (passed, "WARN")
    assert numbers(evaluation) == {
        "channels": 6,
        "bots_share": pytest.approx(bots / every),
        "bots_viewers": 3,
        "many_channels_share": pytest.approx(giants / every),
        "many_channels_viewers": 4,
        "many_hours_share": pytest.approx(tireless / every),
        "many_hours_viewers": 5,
    }
    small = result(maps.exclusions_are_bounded, resource, Settings())
    assert (small.passed, small.description) == (True, "6 channels; judged from 20 onwards")


def test_a_partition_of_other_channels_or_crossed_levels_blocks(resource, made):
    good = made[2].partition
    assert verdict(result(maps.partition_refers_to_audiences, resource)) == (True, "ERROR")
    cases = {
        "1 channels of the partition have no audience; 1 channels with an audience are not in the "
        "partition": good.with_columns(channel=pl.col("channel").replace("c1", "stranger")),
        "1 channels have a community or a region without the other": good.with_columns(
            region=pl.when(channel="c1").then(None).otherwise("region")
        ),
        "1 communities lie in more than one region": good.with_columns(
            community=pl.lit(1, pl.Int64), region=pl.int_range(pl.len(), dtype=pl.Int64)
        ),
    }
    for text, frame in cases.items():
        change(resource, "partition", frame)
        evaluation = result(maps.partition_refers_to_audiences, resource)
        assert verdict(evaluation) == (False, "ERROR")
        assert text in evaluation.description


def test_communities_that_do_not_hold_together_are_a_warning(resource, made):
    assert numbers(result(maps.communities_hold_together, resource))["modularity"] == pytest.approx(0.5)
    change(resource, "partition", scattered(made))
    evaluation = result(maps.communities_hold_together, resource)
    assert verdict(evaluation) == (False, "WARN")
    assert numbers(evaluation)["modularity"] == pytest.approx(-1 / 6, abs=1e-3)


def test_without_edges_there_is_no_modularity(resource, made):
    change(resource, "edges", made[1].edges.clear())
    evaluation = result(maps.communities_hold_together, resource)
    assert (evaluation.passed, evaluation.description, evaluation.metadata) == (True, "no edges", {})


def scattered(made):
    return made[2].partition.with_columns(community=pl.int_range(pl.len(), dtype=pl.Int64))


@pytest.mark.parametrize(
    ("communities", "passed", "largest", "isolated"),
    [
        ([1, 1, 1, 2, 2, 2], True, 0.5, 0.0),
        ([1, 1, 1, 1, 2, 2], False, 4 / 6, 0.0),
        ([1, 1, 2, None, None, None], False, 2 / 3, 0.5),
        ([1, 2, None, None, None, None], False, 0.5, 4 / 6),
        ([None] * 6, False, 0.0, 1.0),
    ],
)
def test_sizes_of_communities_have_bounds(resource, made, communities, passed, largest, isolated):
    change(
        resource,
        "partition",
        made[2].partition.with_columns(community=pl.Series(communities, dtype=pl.Int64)),
    )
    evaluation = result(maps.community_sizes_are_plausible, resource)
    assert verdict(evaluation) == (passed, "WARN")
    assert numbers(evaluation) == {
        "largest_community_share": pytest.approx(largest),
        "isolated_share": pytest.approx(isolated),
        "isolated_channels": communities.count(None),
        "channels": 6,
    }
    assert f"{communities.count(None)} of 6 channels have none" in evaluation.description
    assert result(maps.community_sizes_are_plausible, resource, Settings()).passed


@pytest.mark.parametrize(("moved", "passed"), [(0, True), (1, True), (2, False), (6, False)])
def test_communities_are_compared_with_the_newest_earlier_map(resource, made, moved, passed):
    _, _, atlas = made
    assert result(maps.communities_are_stable, resource).description == (
        "this is the first map: nothing to compare with"
    )
    before = atlas.partition.with_columns(
        community=pl.when(pl.int_range(pl.len()) < moved).then(77).otherwise("community").cast(pl.Int64)
    )
    stranger = before.head(1).with_columns(channel=pl.lit("gone since"))
    change(resource, "partition", pl.concat([before, stranger]), BEFORE)
    finish_map(resource.lake, BEFORE, atlas.nodes.height)
    # A later map and an earlier one do not count, nor does one that a check has stopped.
    change(resource, "partition", stranger, "2026-03-02")
    finish_map(resource.lake, "2026-03-02", atlas.nodes.height)
    finish_map(resource.lake, "2026-02-20", atlas.nodes.height)
    evaluation = result(maps.communities_are_stable, resource)
    assert verdict(evaluation) == (passed, "WARN")
    assert numbers(evaluation) == {
        "stable_share": pytest.approx(1 - moved / 6),
        "common_channels": 6,
        "compared_with": BEFORE,
    }
    assert f"of 6 channels kept their community of {BEFORE}" in evaluation.description
    assert result(maps.communities_are_stable, resource, Settings()).passed


def test_communities_without_their_channels_size_or_region_block(resource, made):
    good = made[2].communities
    fine = pl.col("level") == "community"
    assert verdict(result(maps.communities_refer_to_partition, resource)) == (True, "ERROR")
    cases = {
        "1 ids of level community in the partition have no row": good.filter(
            ~fine | (pl.col("id") != good.filter(fine)["id"].max())
        ),
        "1 rows of level community have no channel": pl.concat(
            [good, good.filter(fine).head(1).with_columns(id=pl.lit(99, pl.Int64))]
        ),
        "2 rows of level community have a size that differs from their channels": good.with_columns(
            size=pl.when(fine).then(pl.col("size") + 1).otherwise("size")
        ),
        "2 communities have a parent that is not a region": good.with_columns(
            parent=pl.when(fine).then(99).otherwise(None).cast(pl.Int64)
        ),
        "2 communities have a parent that differs from their channels' region": good.with_columns(
            parent=pl.when(fine).then(None).otherwise(None).cast(pl.Int64)
        ),
    }
    for text, frame in cases.items():
        change(resource, "communities", frame)
        evaluation = result(maps.communities_refer_to_partition, resource)
        assert verdict(evaluation) == (False, "ERROR")
        assert text in evaluation.description


def test_generic_names_are_a_warning(resource, made):
    assert numbers(result(maps.communities_have_names, resource))["generic_share"] == 0.0
    change(resource, "communities", made[2].communities.with_columns(generic=pl.lit(True)))
    evaluation = result(maps.communities_have_names, resource)
    assert verdict(evaluation) == (False, "WARN")
    assert evaluation.description == "100% of the communities have a generic name"
    assert numbers(evaluation)["generic_share"] == 1.0


def test_nodes_that_say_something_else_than_the_tables_block(resource, made):
    good = made[2].nodes
    assert numbers(result(maps.nodes_refer_to_communities, resource)) == {"problems": 0, "channels": 6}
    first = pl.col("channel") == "c1"
    cases = {
        "1 channels are drawn in a community that is not theirs": good.with_columns(
            community=pl.when(first).then(None).otherwise("community"),
            label=pl.when(first).then(None).otherwise("label"),
        ),
        "1 channels are drawn in a region that is not theirs": good.with_columns(
            region=pl.when(first).then(99).otherwise("region").cast(pl.Int64)
        ),
        "1 channels bear a name that is not their community's": good.with_columns(
            label=pl.when(first).then(pl.lit("Nobody")).otherwise("label")
        ),
        "6 channels bear a name that is not their region's": good.with_columns(
            region_label=pl.lit(None, pl.String)
        ),
    }
    for text, frame in cases.items():
        change(resource, "nodes", frame)
        evaluation = result(maps.nodes_refer_to_communities, resource)
        assert verdict(evaluation) == (False, "ERROR")
        assert text in evaluation.description


def test_a_missing_page_or_channel_blocks(resource, made):
    resource.lake.delete(analysis_key(DAY, "atlas.html"))
    change(resource, "nodes", made[2].nodes.head(4))
    evaluation = result(maps.atlas_is_complete, resource, limits())
    assert verdict(evaluation) == (False, "ERROR")
    assert evaluation.description == "atlas.html is missing; 2 channels of the graph are not on the map"
    assert numbers(evaluation) == {"problems": 2, "channels": 4}
