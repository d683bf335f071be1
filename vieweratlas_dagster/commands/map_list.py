"""``vieweratlas map``: the whole atlas of an overlap list, without a lake and without Dagster."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import polars as pl

from collector_service.support.limits import read_file, read_json
from vieweratlas_dagster.analysis.atlas import Atlas, build
from vieweratlas_dagster.analysis.communities import STANDARD_CLUSTERING, ClusteringOptions
from vieweratlas_dagster.analysis.labels import unknown_overrides
from vieweratlas_dagster.analysis.stability import Previous
from vieweratlas_dagster.imports.csv_rows import FileError
from vieweratlas_dagster.imports.labels import read_labels_file
from vieweratlas_dagster.imports.overlap_list import LONGEST_NAME, read_overlap_list
from vieweratlas_dagster.lake.parquet import parquet_bytes, read_parquet
from vieweratlas_dagster.publish.exports import graph_files
from vieweratlas_dagster.publish.floor import published_pairs
from vieweratlas_dagster.publish.history import Day, History
from vieweratlas_dagster.publish.page import render_page
from vieweratlas_dagster.publish.picture import draw_atlas
from vieweratlas_dagster.publish.vector import draw_svg
from vieweratlas_dagster.tables import COMMUNITIES, EDGES, EVENTS, NODES, PARTITION, Table

FACTS_FILE = "atlas.json"


# The daily job's folders have this instead.
_DAILY_FILE = "partition.parquet"


def map_overlap_list(
    edges_path: Path,
    nodes_path: Path | None,
    out_dir: Path,
    *,
    options: ClusteringOptions = STANDARD_CLUSTERING,
    min_shared_published: int = 1,
    previous_dir: Path | None = None,
    labels_path: Path | None = None,
) -> dict[str, object]:
    """Make the whole atlas of a list; nothing is written unless everything could be made.

    The files are nodes, edges, communities and events as Parquet; the exchange files of
    `publish.exports.graph_files`; atlas.html, atlas.png, atlas.svg, and atlas.json with the facts that are
    also returned. They are made beside ``out_dir`` and then moved into it, atlas.json last: a folder with
    it is complete.

    Args:
        edges_path: edges.csv[.gz].
        nodes_path: nodes.csv[.gz], or None when only the channels' names are known.
        out_dir: made when missing; files of the same names are replaced, others are left alone.
        options: how to cluster.
        min_shared_published: pairs with fewer shared viewers stay out of everything but edges.parquet.
        previous_dir: an earlier result, whose ids, names, colours and places are kept, and which the page
            can go back to.
        labels_path: names given by people, see ``imports.labels``.

    Raises:
        LabelsFileError: the names cannot be used.
        FileError: a file is missing, unreadable or wrong, or the result cannot be written.
    """
    _check_out(out_dir, [path for path in (edges_path, nodes_path) if path])
    previous = None if previous_dir is None else read_previous(previous_dir)
    names = {} if labels_path is None else read_labels_file(labels_path)
    given = read_overlap_list(edges_path, nodes_path)
    atlas = build(given.audiences, given.edges, options, previous=previous, overrides=names)
    published = published_pairs(atlas.edges, min_shared_published)
    title = _title(edges_path)
    facts: dict[str, object] = {
        "title": title,
        "channels": atlas.nodes.height,
        "edges": atlas.edges.height,
        **atlas.quality,
        **_chosen(options),
        "min_shared_published": min_shared_published,
        "withheld_pairs": atlas.edges.height - published.height,
        "repeated_rows": given.repeated_rows,
        "zero_rows": given.zero_rows,
        "added_channels": given.added_channels,
    }
    if previous is not None:
        facts |= _kept(previous, atlas)
    if unknown := unknown_overrides(atlas.communities, names):
        facts["named_but_not_on_the_map"] = ", ".join(unknown)
    try:
        history = None
        if previous is not None and previous_dir is not None:
            history = History(_earlier_days(previous_dir, previous, title), title, atlas.events)
        _write_all(out_dir, _result_files(atlas, published, facts, history))
    except OSError as error:
        raise FileError(f"{out_dir}: cannot write the result: {error}") from error
    return facts


def _chosen(options: ClusteringOptions) -> dict[str, object]:
    """The options as people read them."""
    return {name: "likeliest" if value is None else value for name, value in asdict(options).items()}


def _kept(previous: Previous, atlas: Atlas) -> dict[str, object]:
    """The stability since the earlier result, over the channels that have a community in both."""
    both = previous.partition.join(atlas.partition, on="channel", suffix="_now").filter(
        pl.all_horizontal(pl.col("community", "community_now").is_not_null())
    )
    kept = both.select((pl.col("community") == pl.col("community_now")).mean()).item()
    return {"shared_channels": both.height, "kept_community": kept, "events": atlas.events.height}


def _check_out(folder: Path, inputs: list[Path]) -> None:
    """Refuse a folder that contains an input, or anything but an earlier result."""
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder}: a file, not a folder; name a folder for the result")
    if any(path.resolve().parent == folder.resolve() for path in inputs):
        raise FileError(f"{folder}: the input is in it; name a different folder for the result")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / FACTS_FILE).exists():
        raise FileError(f"{folder}: not empty, and not an earlier result; name a different folder")


def _title(edges_path: Path) -> str:
    """The list's name; that of its folder when it is called edges.csv like most."""
    name = edges_path.name.removesuffix(".gz").removesuffix(".csv")
    return edges_path.absolute().parent.name if name == "edges" else name


def read_previous(folder: Path) -> Previous:
    """An earlier result of `map_overlap_list`, or a folder of the daily job.

    Raises:
        FileError: a file is missing or not of such a result.
    """
    if not any((folder / name).is_file() for name in (FACTS_FILE, _DAILY_FILE)):
        raise FileError(
            f"{folder}: not an earlier result: {FACTS_FILE} is missing, so it is not one or was interrupted"
        )
    nodes = _read_table(folder / "nodes.parquet", NODES)
    communities = _read_table(folder / "communities.parquet", COMMUNITIES)
    return Previous(PARTITION.conform(nodes), communities, nodes)


def _earlier_days(folder: Path, previous: Previous, today: str) -> list[Day]:
    """The earlier result as a step of the page's history; none without its pairs and events."""
    kept = [folder / name for name in ("edges.parquet", "events.parquet")]
    if not all(path.is_file() for path in kept):
        return []
    edges, events = (_read_table(path, table) for path, table in zip(kept, (EDGES, EVENTS), strict=True))
    return [Day(_name_of(folder, today), previous.nodes, edges, previous.communities, events)]


def _name_of(folder: Path, today: str) -> str:
    """The date of a day's result, or the title of a list's, distinct from today's."""
    for file, key in (("manifest.json", "date"), (FACTS_FILE, "title")):
        with contextlib.suppress(OSError, ValueError):
            facts = read_json(read_file(folder / file))
            if isinstance(facts, dict) and isinstance(facts.get(key), str) and facts[key]:
                name = facts[key][:LONGEST_NAME]
                return name if name != today else f"{today} (earlier)"
    return "earlier"


def _read_table(path: Path, table: Table) -> pl.DataFrame:
    try:
        return table.conform(read_parquet(path.read_bytes()))
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise FileError(f"{path}: not an earlier result: {' '.join(str(error).split())}") from error


def _result_files(
    atlas: Atlas, published: pl.DataFrame, facts: dict[str, object], history: History | None
) -> dict[str, bytes]:
    """Names and contents, in the order in which they are moved into place."""
    nodes, communities, title = atlas.nodes, atlas.communities, str(facts["title"])
    files = {
        f"{name}.parquet": parquet_bytes(frame)
        for name, frame in (
            ("nodes", nodes),
            ("edges", atlas.edges),
            ("communities", communities),
            ("events", atlas.events),
        )
    }
    files |= graph_files(nodes, published, communities, date=None)
    files |= {
        "atlas.png": draw_atlas(nodes, published, communities, title=title),
        "atlas.svg": draw_svg(nodes, published, communities, title=title),
        "atlas.html": render_page(nodes, atlas.edges, communities, facts=facts, history=history),
    }
    text = json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False)
    return files | {FACTS_FILE: f"{text}\n".encode()}


def _write_all(folder: Path, files: dict[str, bytes]) -> None:
    """Write all files or none; the last one only exists beside files of the same run."""
    folder.mkdir(parents=True, exist_ok=True)
    waiting = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
    lock = os.open(waiting, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        _remove_abandoned(folder)
        for name, data in files.items():
            with (waiting / name).open("wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
        (folder / FACTS_FILE).unlink(missing_ok=True)
        for name in files:
            (waiting / name).replace(folder / name)
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
        os.close(lock)


def _remove_abandoned(folder: Path) -> None:
    """Remove leftovers of killed runs beside the folder: those without a lock."""
    for leftover in folder.absolute().parent.glob(f".{glob.escape(folder.name)}.????????"):
        lock = os.open(leftover, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(leftover, ignore_errors=True)
        finally:
            os.close(lock)
