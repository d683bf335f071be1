"""The maintenance job: removes expired raw data and old runs by the rules of `retention` and `old_runs`."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from vieweratlas_dagster.automation.retention import days_kept, expired_objects
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.settings import Settings

# No write takes this long.
_UNFINISHED_SECONDS = 3600.0
# Jobs that leave only check evaluations.
_CHECK_JOBS = ("freshness",)


class OldRunsConfig(dg.Config):
    """Options of removing old runs."""

    dry_run: bool = Field(False, description="Only count and log; remove nothing.")
    max_minutes: float = Field(
        15.0,
        gt=0,
        description="Stop after this many minutes; the next run continues where this one stopped.",
    )


class ExpiryConfig(dg.Config):
    """Options of removing expired raw data."""

    dry_run: bool = Field(False, description="Only count and log; remove nothing.")


@dg.op(out=dg.Out(dg.Nothing))
def old_runs(
    context: dg.OpExecutionContext, config: OldRunsConfig, settings: dg.ResourceParam[Settings]
) -> dg.Output[None]:
    """Remove old runs with their events: of freshness checks, then those that failed or were superseded.

    The settings retention.check_runs_days and retention.runs_days set their ages. A run with the newest
    materialization of a partition, or the newest evaluation of a check, is never removed.
    """
    # Not loaded with the code location, which needs none of the storage's libraries.
    from vieweratlas_dagster.automation.old_runs import remove_old_runs

    now = datetime.now(UTC)
    done = remove_old_runs(
        context.instance,
        check_jobs=_CHECK_JOBS,
        checks_before=now - timedelta(days=settings.retention.check_runs_days),
        others_before=now - timedelta(days=settings.retention.runs_days),
        seconds=config.max_minutes * 60,
        dry_run=config.dry_run,
        report=context.log.debug,
    )
    facts = {
        "dry_run": config.dry_run,
        "examined": done.examined,
        "removed_check_runs": done.removed["checks"],
        "removed_failed_runs": done.removed["failed"],
        "removed_superseded_runs": done.removed["superseded"],
        "kept_newest": done.kept,
        "complete": done.complete,
    }
    context.log.info("old runs: %s", facts)
    return dg.Output(None, metadata=facts)


@dg.op(out=dg.Out(dg.Nothing))
def expired_raw_data(
    context: dg.OpExecutionContext,
    config: ExpiryConfig,
    lake: LakeResource,
    settings: dg.ResourceParam[Settings],
) -> dg.Output[None]:
    """Remove raw and quarantined objects that have been kept long enough; curated data always stay.

    In a folder, unfinished files of killed writers are removed too.

    The retention section of the settings has the days. On S3 the bucket's lifecycle rules do this, and the
    op does nothing unless retention.expire_on_s3 is set.
    """
    if lake.type == "s3" and not settings.retention.expire_on_s3:
        context.log.info("the bucket's lifecycle rules expire raw data")
        return dg.Output(None, metadata={"left_to_lifecycle_rules": True})
    now = datetime.now(UTC)
    facts: dict[str, int | bool] = {"dry_run": config.dry_run, "left_to_lifecycle_rules": False}
    for prefix, days in days_kept(settings.retention).items():
        name = prefix.strip("/").replace("/", "_")
        expired = list(expired_objects(lake.lake, prefix, days, now=now))
        facts |= {f"{name}_objects": len(expired), f"{name}_bytes": sum(info.size for info in expired)}
        for info in expired:
            context.log.debug("%s", info.key)
            if not config.dry_run:
                lake.lake.delete(info.key)
    facts["unfinished_files"] = 0 if config.dry_run else lake.lake.remove_leftovers(_UNFINISHED_SECONDS)
    context.log.info("expired raw data: %s", facts)
    return dg.Output(None, metadata=facts)


@dg.job(
    description=(
        "Removes old runs with their events, and raw data that have been kept long enough. Set dry_run in "
        "the Launchpad to see a count of them first."
    )
)
def maintenance() -> None:
    """Both ops; neither depends on the other."""
    old_runs()
    expired_raw_data()
