"""Days of planted maps that drift like real ones: for tests of what a page holds, and for its benchmark."""

import numpy as np
import polars as pl

from vieweratlas_dagster import tables
from vieweratlas_dagster.publish.history import Day

_REGIONS = 8
_PAIRS_PER_CHANNEL = 30


def planted_days(channels: int, days: int, seed: int = 1) -> list[Day]:
    """So many days, newest first; each day 2 % of the channels go and as many new ones come.

    Audiences change by about 5 % a day and pairs by 7 %; places drift by half a percent of the map.
    """
    rng = np.random.default_rng(seed)
    known = channels + (days + 1) * (channels // 50)
    names = np.array([f"{chr(97 + at % 26)}{rng.integers(16**7):x}_{at:x}" for at in range(known)])
    communities = max(2, min(60, channels // 20))
    community = rng.integers(1, communities + 1, known)
    middles = rng.uniform(-0.9, 0.9, (communities + 1, 2))
    places = middles[community] + rng.normal(0, 0.06, (known, 2))
    audience = np.maximum(20, rng.pareto(1.0, known) * 400)
    by_community = np.argsort(community, kind="stable")
    start = np.searchsorted(community[by_community], np.arange(communities + 2))
    one = np.repeat(np.arange(known), _PAIRS_PER_CHANNEL)
    low, high = start[community[one]], start[community[one] + 1]
    other = by_community[low + (rng.random(len(one)) * (high - low)).astype(int)]
    pairs = np.unique(np.sort(np.stack([one, other], axis=1)[one != other], axis=1), axis=0)
    shared = np.minimum(*audience[pairs].T) * rng.beta(1, 6, len(pairs))
    made = []
    for day in range(days):
        first = day * (channels // 50)
        there = np.arange(first, first + channels)
        places = places + rng.normal(0, 0.005, places.shape)
        viewers = (audience * np.exp(rng.normal(0, 0.05, known))).astype(int)
        counts = (shared * np.exp(rng.normal(0, 0.07, len(pairs)))).astype(int)
        shown = (pairs >= first).all(axis=1) & (pairs < first + channels).all(axis=1) & (counts > 0)
        nodes = _nodes(names, community, places, viewers, there)
        edges = _edges(names[pairs[shown]], counts[shown])
        name = f"2026-01-{day + 1:02}"
        made.append(Day(name, nodes, edges, _communities(nodes), tables.EVENTS.empty()))
    return made[::-1]


def _nodes(names, community, places, viewers, there) -> pl.DataFrame:
    ids = community[there]
    return tables.NODES.conform(
        pl.DataFrame(
            {
                "channel": names[there],
                "channel_id": there,
                "viewers": viewers[there],
                "game_name": [f"Game {at % 40}" for at in ids],
                "language": [("en", "de", "ko", "fr", "es", "pt", "ja", "ru")[at % _REGIONS] for at in ids],
                "community": ids,
                "region": ids % _REGIONS,
                "label": [f"Community {at}" for at in ids],
                "region_label": [f"Region {at % _REGIONS}" for at in ids],
                "x": places[there, 0],
                "y": places[there, 1],
                "degree": np.zeros(len(there), int),
                "color": [_color(at) for at in ids],
            }
        )
    )


def _edges(ends, counts) -> pl.DataFrame:
    ends = np.sort(ends, axis=1)
    frame = pl.DataFrame(
        {"source": ends[:, 0], "target": ends[:, 1], "shared_viewers": counts},
        schema_overrides={"shared_viewers": pl.Int64},
    )
    unknown = [
        pl.lit(None, pl.Float64).alias(name) for name in ("jaccard", "overlap", "cosine", "significance")
    ]
    weight = pl.col("shared_viewers").cast(pl.Float64).alias("weight")
    return tables.EDGES.conform(frame.sort("source", "target").with_columns(weight, *unknown))


def _communities(nodes: pl.DataFrame) -> pl.DataFrame:
    rows = []
    for level, label in (("region", "region_label"), ("community", "label")):
        for (key,), members in nodes.group_by(level, maintain_order=True):
            rows.append(
                {
                    "id": key,
                    "level": level,
                    "label": members[label][0],
                    "reason": f"most of its channels are alike ({label})",
                    "confidence": 0.8,
                    "generic": False,
                    "size": members.height,
                    "viewers": members["viewers"].sum(),
                    "parent": members["region"][0] if level == "community" else None,
                    "color": _color(key),
                    "newest_id": 99,
                }
            )
    return tables.COMMUNITIES.conform(pl.DataFrame(rows, schema=tables.COMMUNITIES.schema))


def _color(key: int) -> str:
    return f"#{(key * 2_654_435) % 2**24:06x}"
