"""Checks of a day's graph, communities and map: whether they are consistent and plausible."""

import polars as pl

from vieweratlas_dagster.checks.check import Verdict, View, check
from vieweratlas_dagster.checks.rules import (
    community_violations,
    excluded_share,
    generic_share,
    largest_community_share,
    node_violations,
    overlap_violations,
    partition_violations,
    stable_share,
    unplaced_nodes,
)
from vieweratlas_dagster.lake.keys import analysis_key
from vieweratlas_dagster.lake.manifests import previous_analysis_day
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.resources.catalog import preview_table
from vieweratlas_dagster.tables import (
    AUDIENCES,
    COMMUNITIES,
    EDGES,
    EXCLUSIONS,
    LEFT_OUT,
    NODES,
    PARTITION,
    Table,
)


def _of_day(view: View, table: Table) -> pl.DataFrame:
    return view.table(analysis_key(view.day, f"{table.name}.parquet"), table)


def _too_few(view: View, channels: int) -> str:
    """The reason not to judge a map with too few channels; empty if it is judged."""
    fewest = view.limits.min_judged_channels
    return f"{channels} channels; judged from {fewest} onwards" if channels < fewest else ""


@check("overlap_graph")
def overlap_is_possible(view: View) -> Verdict:
    """No pair shares more viewers than either channel has, and every edge has its two channels."""
    edges = _of_day(view, EDGES)
    return Verdict.of(overlap_violations(_of_day(view, AUDIENCES), edges), edges=edges.height)


@check("overlap_graph")
def exclusions_are_bounded(view: View) -> Verdict:
    """Each reason left out only a small share of the (channel, viewer) pairs."""
    audiences, left_out, exclusions = (_of_day(view, table) for table in (AUDIENCES, LEFT_OUT, EXCLUSIONS))
    channels = audiences.height + left_out.height
    reasons = {
        "known bot": ("bots", view.limits.max_bot_share),
        "too many channels": ("many_channels", view.limits.max_many_channels_share),
        "too many hours": ("many_hours", view.limits.max_many_hours_share),
    }
    numbers: dict[str, int | float] = {"channels": channels}
    texts, passed = [], True
    for reason, (name, limit) in reasons.items():
        share = excluded_share(audiences, left_out, exclusions, reason)
        viewers = int(exclusions.filter(reason=reason)["viewers"].sum())
        numbers |= {f"{name}_share": share, f"{name}_viewers": viewers}
        texts.append(f"{reason}: {viewers} viewers with {share:.1%} of the pairs (at most {limit:.0%})")
        passed = passed and share <= limit
    why_not = _too_few(view, channels)
    return Verdict(passed or bool(why_not), why_not or "; ".join(texts), numbers)


@check("community_partitions")
def partition_refers_to_audiences(view: View) -> Verdict:
    """The partition has exactly the graph's channels, and every community lies in one region."""
    partition = _of_day(view, PARTITION)
    return Verdict.of(partition_violations(_of_day(view, AUDIENCES), partition), channels=partition.height)


@check("community_partitions")
def communities_hold_together(view: View) -> Verdict:
    """Channels share clearly more viewers inside their communities than between them."""
    # Imported here since it loads SciPy, which the code location does not need.
    from vieweratlas_dagster.analysis.quality import partition_modularity

    value = partition_modularity(_of_day(view, EDGES), _of_day(view, PARTITION))
    if value is None:
        return Verdict(passed=True, text="no edges")
    limit = view.limits.min_modularity
    return Verdict(value >= limit, f"modularity {value:.3f} (at least {limit:g})", {"modularity": value})


@check("community_partitions")
def community_sizes_are_plausible(view: View) -> Verdict:
    """No community contains most of the channels, and not too many channels are without one."""
    partition, limits = _of_day(view, PARTITION), view.limits
    alone = partition["community"].null_count()
    largest, isolated = largest_community_share(partition), alone / max(1, partition.height)
    why_not = _too_few(view, partition.height)
    text = (
        f"the largest community contains {largest:.0%} of the channels that have one (at most "
        f"{limits.max_largest_community_share:.0%}); {alone} of {partition.height} channels have none (at "
        f"most {limits.max_isolated_share:.0%})"
    )
    fits = largest <= limits.max_largest_community_share and isolated <= limits.max_isolated_share
    return Verdict(
        passed=fits or bool(why_not),
        text=why_not or text,
        numbers={
            "largest_community_share": largest,
            "isolated_share": isolated,
            "isolated_channels": alone,
            "channels": partition.height,
        },
    )


@check("community_partitions")
def communities_are_stable(view: View) -> Verdict:
    """Most channels of the previous map are still in the community with the same id."""
    earlier = previous_analysis_day(view.lake, view.day)
    if earlier is None:
        return Verdict(passed=True, text="this is the first map: nothing to compare with")
    before = read_table(view.lake, analysis_key(earlier, "partition.parquet"), PARTITION)
    share, channels = stable_share(before, _of_day(view, PARTITION))
    limit = view.limits.min_stable_share
    why_not = _too_few(view, channels)
    text = f"{share:.0%} of {channels} channels kept their community of {earlier} (at least {limit:.0%})"
    return Verdict(
        passed=share >= limit or bool(why_not),
        text=f"in common with {earlier}: {why_not}" if why_not else text,
        numbers={"stable_share": share, "common_channels": channels, "compared_with": earlier},
    )


@check("community_labels")
def communities_refer_to_partition(view: View) -> Verdict:
    """Every community and region has channels, as many as its size, and every community its region."""
    communities = _of_day(view, COMMUNITIES)
    return Verdict.of(
        community_violations(_of_day(view, PARTITION), communities), communities=communities.height
    )


@check("community_labels")
def communities_have_names(view: View) -> Verdict:
    """Most communities are named after a game or a language; otherwise metadata were lost on the way."""
    frame = _of_day(view, COMMUNITIES)
    share = generic_share(frame)
    generic = frame.filter(pl.col("generic")).select("level", "label", "size")
    return Verdict(
        passed=share <= view.limits.max_generic_label_share,
        text=f"{share:.0%} of the communities have a generic name",
        numbers={"generic_share": share, "generic": preview_table(generic)},
    )


@check("atlas")
def nodes_refer_to_communities(view: View) -> Verdict:
    """Every channel on the map has the community, the region and the names that were found for it."""
    nodes = _of_day(view, NODES)
    problems = node_violations(nodes, _of_day(view, PARTITION), _of_day(view, COMMUNITIES))
    return Verdict.of(problems, channels=nodes.height)


@check("atlas")
def atlas_is_complete(view: View) -> Verdict:
    """Every channel of the graph has a place, and page and picture exist."""
    nodes, audiences = _of_day(view, NODES), _of_day(view, AUDIENCES)
    problems = [
        f"{name} is missing"
        for name in ("atlas.html", "atlas.png")
        if not view.lake.exists(analysis_key(view.day, name))
    ]
    if unplaced := unplaced_nodes(nodes):
        problems.append(f"{unplaced} channels have no place")
    if missing := audiences.join(nodes, on="channel", how="anti").height:
        problems.append(f"{missing} channels of the graph are not on the map")
    return Verdict.of(problems, channels=nodes.height)


CHECKS = (
    overlap_is_possible,
    exclusions_are_bounded,
    partition_refers_to_audiences,
    communities_hold_together,
    community_sizes_are_plausible,
    communities_are_stable,
    communities_refer_to_partition,
    communities_have_names,
    nodes_refer_to_communities,
    atlas_is_complete,
)
