"""Metadata of assets for the UI: owners, tags, documentation, column schemas, row counts and previews."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any

import dagster as dg
import polars as pl

from vieweratlas_dagster.resources.lineage import column_lineage
from vieweratlas_dagster.resources.partitions import daily
from vieweratlas_dagster.tables import Table

OWNERS = ["team:vieweratlas"]
# The pool of all assets that make a day's map. A map takes ids, colours and places from the day before, and
# two runs that make the same day would mix their tables: with one run at a time in this pool
# (concurrency.pools in dagster.yaml), days are made in order, however their runs were started.
MAPS = "maps"
# By group. Raise the version of a group when its results change for the same input: the UI then shows the
# code of its partitions as changed, and the assets below them as outdated once they have been made again.
CODE_VERSIONS = {"raw": "1", "curated": "1", "graph": "4", "communities": "3", "atlas": "5"}
# By group, for the filters of the catalog: the subject of the data, and their distance from raw.
TAGS = {
    "raw": {"domain": "chat", "tier": "raw"},
    "curated": {"domain": "chat", "tier": "curated"},
    "graph": {"domain": "audience", "tier": "analysis"},
    "communities": {"domain": "audience", "tier": "analysis"},
    "atlas": {"domain": "map", "tier": "published"},
}
_TYPES = {
    "String": "string",
    "Boolean": "boolean",
    "Int64": "int64",
    "UInt64": "uint64",
    "UInt32": "uint32",
    "Float64": "double",
    "Datetime(time_unit='ms', time_zone='UTC')": "timestamp[ms, UTC]",
    "List(String)": "list<string>",
    "List(Int64)": "list<int64>",
}


def catalog_entry(
    group: str, docs: str, table: Table | None = None, *, made_here: bool = True
) -> dict[str, Any]:
    """The arguments of an asset (or its spec) that place it in the catalog.

    Args:
        group: its group.
        docs: the page and section that explain it, as ``docs/PAGE.md#section``.
        table: its main result, where that is a table.
        made_here: whether Dagster makes it, so that its code has a version.
    """
    entry = {
        "group_name": group,
        "tags": TAGS[group],
        "owners": OWNERS,
        "metadata": {"docs": dg.MetadataValue.path(docs)} | (column_schema(table) if table else {}),
    }
    return entry | ({"code_version": CODE_VERSIONS[group]} if made_here else {})


def catalogued_asset(
    group: str,
    docs: str,
    *,
    deps: Iterable[Any],
    kinds: set[str],
    table: Table | None = None,
    partitions: dg.PartitionsDefinition = daily,
    pool: str = MAPS,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Make a function an asset: by default one of a day, and one day at a time.

    Args:
        group: its group.
        docs: the page and section that explain it, as ``docs/PAGE.md#section``.
        deps: the assets that it is made from.
        kinds: its kinds; the UI has icons for some of them.
        table: its main result, where that is a table.
        partitions: its partitions.
        pool: limits how many runs make it, and the other assets of the pool, at the same time.
    """
    decorate: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(
        partitions_def=partitions, pool=pool, deps=deps, kinds=kinds, **catalog_entry(group, docs, table)
    )
    return decorate


def column_schema(table: Table) -> dict[str, Any]:
    """Definition metadata: the table's columns with types, meaning and constraints, and their sources."""
    columns = [
        dg.TableColumn(
            name=column.name,
            type=_TYPES[str(column.dtype)],
            description=column.description,
            constraints=dg.TableColumnConstraints(nullable=column.nullable),
        )
        for column in table.columns
    ]
    constraints = dg.TableConstraints([f"one row is {table.row}", f"key: {', '.join(table.key)}"])
    schema: dict[str, Any] = {
        "dagster/column_schema": dg.TableSchema(columns=columns, constraints=constraints),
        "dagster/table_name": table.name,
    }
    lineage = column_lineage(table)
    return schema if lineage is None else schema | {"dagster/column_lineage": lineage}


def rows(count: int) -> dict[str, Any]:
    """Materialization metadata: the rows of this partition."""
    return {"dagster/partition_row_count": count}


def rounded(number: float) -> float:
    """A number for people to read and plot: four significant digits."""
    return float(f"{number:.4g}")


def preview_table(frame: pl.DataFrame, limit: int = 10) -> dg.MetadataValue:
    """The first rows as a Markdown table; a cell without a value is empty."""
    shown = frame.head(limit)
    missing = [name for name in shown.columns if shown[name].null_count()]
    shown = shown.with_columns(pl.col(missing).cast(pl.String).fill_null(""))
    with pl.Config(
        tbl_formatting="ASCII_MARKDOWN",
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_rows=limit,
        tbl_cols=-1,
        fmt_str_lengths=60,
        tbl_width_chars=10_000,
    ):
        return dg.MetadataValue.md(str(shown))


def picture(png: bytes, alt: str) -> dg.MetadataValue:
    """A small PNG, shown in the UI."""
    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})")
