"""The parts that all checks share, and their definitions for Dagster.

All checks of one asset run as one step, which reads each table once. A check that cannot be judged does not
pass: otherwise an unreadable object would let a blocking check pass, or a warning stop the run.

Checks of a day have the partitions of their asset. Without them Dagster plans a check for the partition of
its run and stores the verdict without one: the history then shows every check twice, once as skipped.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import dagster as dg
import polars as pl

from collector_service.lake import Lake
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.settings import SEVERITIES, CheckSettings, Settings
from vieweratlas_dagster.tables import Table


@dataclass(frozen=True)
class View:
    """The input of a check: the lake, the settings, and the day (YYYY-MM-DD) that it judges.

    ``day`` is empty for checks of the present.
    """

    lake: Lake
    settings: Settings
    day: str
    _tables: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False)

    @property
    def limits(self) -> CheckSettings:
        """The thresholds."""
        return self.settings.checks

    @cached_property
    def now(self) -> datetime:
        """The time by the clock of the data."""
        return datetime.fromtimestamp(self.settings.clock.now(), UTC)

    def table(self, key: str, table: Table) -> pl.DataFrame:
        """A table of the lake, read once."""
        if key not in self._tables:
            self._tables[key] = read_table(self.lake, key, table)
        return self._tables[key]


@dataclass(frozen=True)
class Verdict:
    """The result of a check; a key of ``numbers`` always has the same type, so that it can be plotted."""

    passed: bool
    text: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, problems: list[str], **numbers: Any) -> "Verdict":
        """A verdict that passes without problems."""
        text = "; ".join(problems) or "as it should be"
        return cls(not problems, text, {"problems": len(problems), **numbers})


@dataclass(frozen=True)
class Check:
    """A check of an asset; its name and its text for operators are those of ``judge``."""

    asset: str
    judge: Callable[[View], Verdict]
    of_a_day: bool

    @property
    def name(self) -> str:
        """Its name in the UI, in messages and in the runbook."""
        return self.judge.__name__


def check(asset: str, *, of_a_day: bool = True) -> Callable[[Callable[[View], Verdict]], Check]:
    """Make a function the check of an asset.

    Args:
        asset: its key.
        of_a_day: whether it judges the day of its run, and may stop what depends on the asset; otherwise
            it judges the present and never stops anything.
    """
    return lambda judge: Check(asset, judge, of_a_day)


def definitions_of(
    checks: Iterable[Check], limits: CheckSettings, days: dg.PartitionsDefinition
) -> list[dg.AssetChecksDefinition]:
    """Dagster's definitions of the checks, one step per asset; only ERROR checks of a day block.

    Args:
        checks: the checks.
        limits: the settings with their severities.
        days: the partitions of checks that judge a day.
    """
    groups: dict[tuple[str, bool], list[Check]] = {}
    for check in checks:
        groups.setdefault((check.asset, check.of_a_day), []).append(check)
    severities = {**SEVERITIES, **limits.severities}
    with warnings.catch_warnings():
        # Partitions of checks are in preview; dagster is locked to the version that this was tested with.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [_definition(group, severities, days) for group in groups.values()]


def _definition(
    group: list[Check], severities: Mapping[str, str], days: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    asset, of_a_day = group[0].asset, group[0].of_a_day

    @dg.multi_asset_check(
        name=f"checks_of_{asset}" if of_a_day else f"present_of_{asset}",
        specs=[
            dg.AssetCheckSpec(
                check.name,
                asset=asset,
                description=" ".join((check.judge.__doc__ or "").split()),
                blocking=of_a_day and severities[check.name] == "ERROR",
                partitions_def=days if of_a_day else None,
            )
            for check in group
        ],
        can_subset=True,
    )
    def run(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
    ) -> Iterator[dg.AssetCheckResult]:
        if of_a_day and not context.has_partition_key:
            raise dg.Failure(
                f"The checks of {asset} need a day's partition, and this run has none. They run when "
                f"{asset} is materialized: materialize {asset} for the day again."
            )
        view = View(lake.lake, settings, context.partition_key if of_a_day else "")
        wanted = {key.name for key in context.selected_asset_check_keys}
        for check in group:
            if check.name in wanted:
                verdict = _judged(check, view, context)
                yield dg.AssetCheckResult(
                    asset_key=asset,
                    check_name=check.name,
                    passed=verdict.passed,
                    severity=dg.AssetCheckSeverity(severities[check.name]),
                    description=verdict.text,
                    metadata=verdict.numbers,
                )

    return run


def _judged(check: Check, view: View, context: dg.AssetCheckExecutionContext) -> Verdict:
    try:
        return check.judge(view)
    except Exception as error:
        context.log.exception("%s could not be judged", check.name)
        return Verdict(passed=False, text=f"could not be judged: {type(error).__name__}: {error}")
