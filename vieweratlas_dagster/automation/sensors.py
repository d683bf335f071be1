"""The sensor of alerts: a round of ``alerts.watch`` every minute."""

from datetime import UTC, datetime

import dagster as dg

from vieweratlas_dagster.alerts.delivery import backend_of
from vieweratlas_dagster.alerts.watch import watch
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.settings import Settings


@dg.sensor(
    name="vieweratlas_alerts",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Every minute: sends one message when a run or a check fails and one when it is well again (to "
        "Amazon SNS, or to the log of this sensor; settings: alerts). It starts no runs. Stopping it stops "
        "the heartbeat too, which raises an alarm: docs/RUNBOOK.md#heartbeat_missing."
    ),
)
def vieweratlas_alerts(
    context: dg.SensorEvaluationContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.SkipReason:
    """One round of watching."""
    backend = backend_of(settings.alerts, context.log)
    done = watch(context.instance, lake.lake, settings, backend, datetime.now(UTC), context.log)
    return dg.SkipReason(
        f"{done.runs} ended runs read, {done.sent} messages sent, {done.open} incidents open"
    )


ALL_SENSORS = (vieweratlas_alerts,)
