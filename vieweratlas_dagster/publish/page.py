"""The atlas page: the built viewer with one atlas's data inside, as one self-contained HTML file.

``viewer/src/data/data.ts`` decodes the data; the page's looks and behaviour are in ``viewer/``.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

import polars as pl

from vieweratlas_dagster.publish.absent import encode_absent
from vieweratlas_dagster.publish.history import Block, History, encode_history
from vieweratlas_dagster.publish.map_names import with_short_names

FORMAT = 1
NEIGHBOURS_KEPT = 50
MIN_SHARED_PUBLISHED = 5
COORDINATE_STEPS = 10_000
# Earlier days fill the page up to the first, and get at least the second.
PAGE_BYTES = 3_000_000
LEAST_HISTORY_BYTES = 500_000

_PLACEHOLDER = b'<script type="application/json" id="atlas-data">null</script>'
_HISTORY_PLACE = b'<script type="text/plain" id="atlas-history"></script>'
# Names come from the outside: nothing in the block may look like markup, and U+2028/9 end a line in
# older JavaScript.
_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def render_page(
    nodes: pl.DataFrame,
    edges: pl.DataFrame,
    communities: pl.DataFrame,
    *,
    facts: Mapping[str, object],
    history: History | None = None,
    left_out: pl.DataFrame | None = None,
) -> bytes:
    """The whole atlas page as UTF-8 HTML; identical input gives identical bytes.

    Pairs with fewer shared viewers than ``facts["min_shared_published"]`` (default 5) are withheld. Of
    the others, a pair is kept when it is among the ``NEIGHBOURS_KEPT`` strongest of either channel.
    The page shows how many were withheld and cut.

    Args:
        nodes: rows of ``tables.NODES``, in any order.
        edges: rows of ``tables.EDGES``. Where ``shared_viewers`` has nulls, the page shows ``weight``
            for every pair instead; weights count no viewers, so none is withheld.
        communities: rows of ``tables.COMMUNITIES`` for both levels.
        facts: how the map was made, shown under "How to read this map";
            JSON values, dates or datetimes. Known keys: title, date_from, date_to, window_days,
            channels, viewers, edges, communities, regions, modularity, overlap_threshold,
            min_channel_viewers, min_shared_published, resolution, algorithm, generated_for, channel_list,
            top_channels_limit.
        history: earlier maps; those that fit are on the page, which has a slider then.
        left_out: rows of ``tables.LEFT_OUT`` that the page may name in a search.

    Raises:
        FileNotFoundError: the viewer has not been built.
        ValueError: an edge or a channel refers to something unknown, a coordinate is not finite, or
            the pairs have neither shared viewers nor weights throughout; two days of the history have
            the same name; or the viewer was built without a place for the data.
        TypeError: a fact is not a JSON value.
    """
    template = load_template()
    data = encode(nodes, edges, communities, facts=facts)
    if left_out is not None:
        data["absent"] = encode_absent(left_out, floor=data["published"]["min_shared"])
    earlier = Block(b"")
    if history is not None:
        room = PAGE_BYTES - len(template) - len(_json(data))
        earlier = encode_history(
            history, floor=data["published"]["min_shared"], budget=max(room, LEAST_HISTORY_BYTES)
        )
    if history is not None and earlier.days:
        data["days"] = [*reversed(earlier.days), history.today]
    block = _PLACEHOLDER.replace(b"null", _json(data), 1)
    page = template.replace(_HISTORY_PLACE, _HISTORY_PLACE.replace(b"></", b">" + earlier.data + b"</"), 1)
    before, _, after = page.partition(_PLACEHOLDER)
    return before + block + after


def _json(data: Mapping[str, Any]) -> bytes:
    """The data as the page contains it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES).encode()


def encode(
    nodes: pl.DataFrame, edges: pl.DataFrame, communities: pl.DataFrame, *, facts: Mapping[str, object]
) -> dict[str, Any]:
    """The page's data as JSON values: columns of equal length, names replaced by positions.

    Channels are ordered by audience, largest first. The pairs lie by first channel: ``counts`` has the
    number of pairs of each channel with a later one, ``targets`` the later channels' positions as
    steps from the previous target (from the channel itself for its first), ``amounts`` the values.
    Arguments and errors: see `render_page`.
    """
    nodes = nodes.sort("viewers", "channel", descending=[True, False], nulls_last=True)
    communities = with_short_names(communities)
    regions = _level(communities, "region")
    groups = _level(communities, "community")
    region_at = {key: at for at, key in enumerate(regions["id"])}
    group_at = {key: at for at, key in enumerate(groups["id"])}
    channel_at = {name: at for at, name in enumerate(nodes["channel"])}
    if len(channel_at) != nodes.height:
        raise ValueError("nodes: a channel occurs more than once")

    pairs, amount = _pairs(edges, channel_at)
    floor = facts.get("min_shared_published", MIN_SHARED_PUBLISHED)
    if not isinstance(floor, int):
        raise TypeError(f"facts: min_shared_published is {floor!r}, not a whole number")
    public = pairs if amount == "weight" else pairs.filter(pl.col("amount") >= floor)
    kept = _strongest(public)
    ends = pl.concat([public["first"], public["second"]])
    neighbours = [0] * nodes.height
    for channel, count in ends.value_counts().iter_rows():
        neighbours[channel] = count

    games = sorted(nodes["game_name"].drop_nulls().unique())
    languages = sorted(nodes["language"].drop_nulls().unique())
    return {
        "format": FORMAT,
        "facts": {key: _plain(value) for key, value in sorted(facts.items())},
        "published": {
            "min_shared": floor,
            "neighbours_kept": NEIGHBOURS_KEPT,
            "pairs": pairs.height,
            "pairs_withheld": pairs.height - public.height,
            "pairs_cut": public.height - kept.height,
        },
        "games": games,
        "languages": languages,
        "regions": _columns(regions),
        "communities": _columns(groups)
        | {"region": _positions(groups["parent"], region_at, "communities: parent")},
        "channels": {
            "name": nodes["channel"].to_list(),
            "viewers": nodes["viewers"].to_list(),
            "game": _positions(nodes["game_name"], {name: at for at, name in enumerate(games)}, "game"),
            "language": _positions(
                nodes["language"], {name: at for at, name in enumerate(languages)}, "language"
            ),
            "community": _positions(nodes["community"], group_at, "nodes: community"),
            "region": _positions(nodes["region"], region_at, "nodes: region"),
            "x": _steps(nodes["x"]),
            "y": _steps(nodes["y"]),
            "neighbours": neighbours,
        },
        "edges": {"amount": amount, **_adjacency(kept, nodes.height)},
    }


def load_template() -> bytes:
    """The built viewer, with the empty data block once in it.

    Raises:
        FileNotFoundError: the viewer has not been built.
        ValueError: the built viewer lacks a place for the data.
    """
    built = files("vieweratlas_dagster") / "viewer" / "dist" / "index.html"
    if not built.is_file():
        raise FileNotFoundError("the atlas viewer is not built (viewer/dist/index.html): run `make viewer`")
    page = built.read_bytes()
    if page.count(_PLACEHOLDER) != 1 or page.count(_HISTORY_PLACE) != 1:
        raise ValueError("viewer/dist/index.html lacks a place for the data: run `make viewer` again")
    return page


def _level(communities: pl.DataFrame, level: str) -> pl.DataFrame:
    return communities.filter(pl.col("level") == level).sort(
        "viewers", "size", "id", descending=[True, True, False]
    )


def _columns(frame: pl.DataFrame) -> dict[str, list[Any]]:
    columns = ("id", "label", "short", "reason", "size", "viewers", "color")
    return frame.select(columns).to_dict(as_series=False)


def _positions(values: Iterable[Any], at: Mapping[Any, int], what: str) -> list[int]:
    """Each value's position, -1 for null."""
    try:
        return [-1 if value is None else at[value] for value in values]
    except KeyError as unknown:
        raise ValueError(f"{what}: {unknown.args[0]!r} is not in the table it refers to") from None


def _steps(values: pl.Series) -> list[int]:
    """Coordinates as whole numbers of 1 / ``COORDINATE_STEPS``."""
    if not values.is_finite().all():
        raise ValueError(f"nodes: {values.name} has a value that is not finite")
    return (values * COORDINATE_STEPS).round().cast(pl.Int64).to_list()


def _pairs(edges: pl.DataFrame, channel_at: Mapping[str, int]) -> tuple[pl.DataFrame, str]:
    """Every pair as positions first < second with its amount, in order, and the kind of amount.

    Returns:
        Columns first, second (int64) and amount (int64 shared viewers or float64 weight); then
        ``"shared_viewers"`` or ``"weight"``.
    """
    amount = "shared_viewers"
    if edges[amount].null_count():
        if "weight" not in edges.columns or edges["weight"].null_count():
            raise ValueError("edges: shared_viewers has nulls, and weight does not cover every pair")
        amount = "weight"
    ends = [
        pl.Series(end, _positions(edges[end], channel_at, f"edges: {end}"), dtype=pl.Int64)
        for end in ("source", "target")
    ]
    pairs = pl.DataFrame(ends).with_columns(amount=edges[amount])
    if amount == "weight":
        pairs = pairs.with_columns(pl.col("amount").round_sig_figs(4))
    pairs = pairs.select(
        pl.min_horizontal("source", "target").alias("first"),
        pl.max_horizontal("source", "target").alias("second"),
        "amount",
    )
    if pairs.select((pl.col("first") == pl.col("second")).any()).item():
        raise ValueError("edges: a channel is paired with itself")
    if pairs.select("first", "second").is_duplicated().any():
        raise ValueError("edges: a pair occurs more than once")
    return pairs.sort("first", "second"), amount


def _strongest(pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs that are among the ``NEIGHBOURS_KEPT`` strongest of either end; ties by position."""

    def rank(one: str, other: str) -> pl.Expr:
        order = pl.struct(-pl.col("amount"), pl.col(other))
        return order.rank("ordinal").over(one)

    both = pl.concat(
        [
            pairs.with_row_index("pair").select("pair", "amount", one="first", other="second"),
            pairs.with_row_index("pair").select("pair", "amount", one="second", other="first"),
        ]
    )
    strong = both.filter(rank("one", "other") <= NEIGHBOURS_KEPT)["pair"].unique()
    return (
        pairs.with_row_index("pair").join(strong.to_frame(), on="pair", how="semi").sort("first", "second")
    )


def _adjacency(pairs: pl.DataFrame, channels: int) -> dict[str, list[Any]]:
    counts = [0] * channels
    for channel, count in pairs["first"].value_counts().iter_rows():
        counts[channel] = count
    previous = pl.col("second").shift(1).over("first").fill_null(pl.col("first"))
    steps = pairs.select(pl.col("second") - previous).to_series()
    return {"counts": counts, "targets": steps.to_list(), "amounts": pairs["amount"].to_list()}


def _plain(value: object) -> object:
    """A fact as a JSON value: dates in ISO 8601, numbers that JSON lacks as null."""
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"facts: {value!r} is neither a JSON value nor a date")
