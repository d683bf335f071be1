"""The backends of alerts and heartbeats: the log, or Amazon SNS and CloudWatch.

With backend ``sns``, the role of the code location needs ``sns:Publish`` on the topic and
``cloudwatch:PutMetricData`` (resource ``*``, with the condition ``cloudwatch:namespace``).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from vieweratlas_dagster.alerts.messages import Message
from vieweratlas_dagster.settings import AlertSettings


class Backend(Protocol):
    """Takes messages and metrics; a call that does not raise has delivered them."""

    def send(self, message: Message) -> None:
        """Send one message."""
        ...

    def measure(self, metrics: Mapping[str, float]) -> None:
        """Publish metrics of this instant."""
        ...


class LogBackend:
    """One warning line per message, for users who run ViewerAtlas on their own machine."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def send(self, message: Message) -> None:
        """Write subject and text on one line."""
        self._log.warning("%s | %s", message.subject, message.text.replace("\n", " | "))

    def measure(self, metrics: Mapping[str, float]) -> None:
        """Do nothing: the heartbeat object in the lake is enough for a local user."""


class AwsBackend:
    """Messages to an SNS topic, metrics to CloudWatch, in the topic's region."""

    def __init__(self, settings: AlertSettings) -> None:
        # Slow to import, and never needed on a machine of one user.
        import boto3
        from botocore.config import Config

        place: dict[str, Any] = {
            "region_name": settings.topic_arn.split(":")[3],
            "endpoint_url": settings.endpoint_url or None,
            # A round of the sensor may take a minute in total.
            "config": Config(
                connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2}
            ),
        }
        self._topic = settings.topic_arn
        self._namespace = settings.namespace
        self._sns = boto3.client("sns", **place)
        self._cloudwatch = boto3.client("cloudwatch", **place)

    def send(self, message: Message) -> None:
        """Publish to the topic.

        Raises:
            botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: SNS did not accept it.
        """
        self._sns.publish(TopicArn=self._topic, Subject=message.subject, Message=message.text)

    def measure(self, metrics: Mapping[str, float]) -> None:
        """Put the metrics into the namespace, without dimensions.

        Raises:
            botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: CloudWatch did not
                accept them.
        """
        data: Any = [{"MetricName": name, "Value": value} for name, value in metrics.items()]
        self._cloudwatch.put_metric_data(Namespace=self._namespace, MetricData=data)


def backend_of(settings: AlertSettings, log: logging.Logger) -> Backend:
    """The backend that the settings name."""
    return AwsBackend(settings) if settings.backend == "sns" else LogBackend(log)
