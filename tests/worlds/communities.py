"""Worlds whose communities and regions are known, as the overlap engine's input."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from vieweratlas_dagster.analysis.communities import ClusteringOptions, find_communities
from vieweratlas_dagster.imports.overlap_list import read_overlap_list
from vieweratlas_dagster.tables import AUDIENCES, EDGES

CHANNELS = pl.Schema(
    {"channel_id": pl.Int64, "channel": pl.String, "game_name": pl.String, "language": pl.String}
)


@dataclass(frozen=True)
class World:
    pairs: pl.DataFrame
    channels: pl.DataFrame
    truth: pl.DataFrame  # channel, community_truth, region_truth


def membership_frame(members, *, bots=()):
    """pairs from {channel_id: viewer keys}; bots are keys flagged as known."""
    rows = [
        (channel, viewer, 1, viewer in bots) for channel, viewers in members.items() for viewer in viewers
    ]
    schema = {
        "channel_id": pl.Int64,
        "viewer_key": pl.UInt64,
        "messages": pl.UInt64,
        "known_bot": pl.Boolean,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def channel_frame(names):
    """channels from {channel_id: name}."""
    rows = [(key, name, None, None) for key, name in names.items()]
    return pl.DataFrame(rows, schema=CHANNELS, orient="row")


def planted_world(
    seed,
    *,
    regions=5,
    per_region=4,
    viewers=15_000,
    crossing=0.2,
    inside_region=0.6,
    bots=0,
    giants=0,
    channels=(8, 18),
):
    """Viewers watch about five channels of their home community, and a share of others.

    ``crossing`` of the views leave the community, ``inside_region`` of those stay in the region. Bots
    sit in half of all channels. Giants are channels of their community that everybody may stray to.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.integers(*channels, endpoint=True, size=regions * per_region)
    community = np.repeat(np.arange(regions * per_region), sizes)
    region = community // per_region
    popularity = 1.0 / (1 + np.concatenate([np.arange(size) for size in sizes])) ** 0.8
    giant = np.zeros(len(community), dtype=bool)
    giant[rng.choice(np.flatnonzero(popularity == 1), giants, replace=False)] = True

    home = rng.choice(regions * per_region, viewers, p=rng.dirichlet(np.full(regions * per_region, 5.0)))
    views = 1 + rng.geometric(1 / 4, viewers)
    viewer = np.repeat(np.arange(viewers), views)
    where = home[viewer]
    draw = rng.random(len(viewer))
    chosen = np.empty(len(viewer), dtype=np.int64)

    def choose(mask, weight):
        chosen[mask] = rng.choice(len(community), mask.sum(), p=weight / weight.sum())

    stray = popularity * np.where(giant, 15, 1)
    for one in range(regions * per_region):
        ours = where == one
        choose(ours & (draw >= crossing), popularity * (community == one))
        near = (region == one // per_region) & (community != one) if per_region > 1 else community != one
        choose(ours & (draw < crossing * inside_region), popularity * near)
    choose((draw >= crossing * inside_region) & (draw < crossing), stray)
    at, who = chosen, viewer
    if bots:
        present = np.argwhere(rng.random((len(community), bots)) < 0.5)
        at, who = np.concatenate([at, present[:, 0]]), np.concatenate([who, viewers + present[:, 1]])
    key = rng.integers(0, 2**63, viewers + bots, dtype=np.uint64)
    pairs = pl.DataFrame({"channel_id": at + 1, "viewer_key": key[who]}).unique(maintain_order=True)
    names = [f"c{index:04d}" for index in rng.permutation(len(community))]
    return World(
        pairs.with_columns(messages=pl.lit(1, dtype=pl.UInt64), known_bot=pl.lit(value=False)),
        channel_frame({index + 1: name for index, name in enumerate(names)}),
        pl.DataFrame({"channel": names, "community_truth": community, "region_truth": region}),
    )


EXAMPLE = Path(__file__).parents[2] / "examples" / "twitch-atlas-2020-08"


@cache
def example():
    given_list = read_overlap_list(EXAMPLE / "edges.csv", EXAMPLE / "nodes.csv")
    return given_list.audiences, given_list.edges


def communities_of(audiences, edges, *, runs=10, previous=None, **options):
    options = ClusteringOptions(**options)
    return find_communities(audiences, edges, options, runs=runs, previous=previous)


def tables_of(edges, channels=()):
    """AUDIENCES and EDGES from {(one, other): weight}."""
    names = sorted({name for pair in edges for name in pair} | set(channels))
    audiences = pl.DataFrame({"channel": names}).with_columns(
        viewers=1000, channel_id=None, messages=None, game_name=None, language=None
    )
    rows = [(min(pair), max(pair), int(weight), float(weight)) for pair, weight in edges.items()]
    frame = pl.DataFrame(
        rows,
        schema={
            "source": pl.String,
            "target": pl.String,
            "shared_viewers": pl.Int64,
            "weight": pl.Float64,
        },
        orient="row",
    ).with_columns(jaccard=None, overlap=None, cosine=None, significance=None)
    return AUDIENCES.conform(audiences), EDGES.conform(frame)
