"""Alerts by the sensor of the code location through real SNS and CloudWatch APIs (moto's server)."""

import json
import logging
from datetime import UTC, datetime, timedelta

import boto3
import dagster as dg
import pytest
from botocore.exceptions import ClientError

from vieweratlas_dagster.alerts.delivery import AwsBackend
from vieweratlas_dagster.alerts.heartbeat import last_heartbeat
from vieweratlas_dagster.alerts.watch import watch
from vieweratlas_dagster.automation.sensors import vieweratlas_alerts
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.settings import Settings

REGION = "eu-central-1"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Reader:
    """A person at the end of the topic, by way of a queue."""

    def __init__(self, endpoint: str, name: str) -> None:
        place = {"endpoint_url": endpoint, "region_name": REGION}
        sns = boto3.client("sns", **place)
        self.sqs = boto3.client("sqs", **place)
        self.cloudwatch = boto3.client("cloudwatch", **place)
        self.topic = sns.create_topic(Name=name)["TopicArn"]
        self.queue = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=attributes["Attributes"]["QueueArn"])

    def mail(self) -> list[tuple[str, str]]:
        """Subject and text of everything that has come since."""
        found = []
        while got := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            for message in got:
                body = json.loads(message["Body"])
                found.append((body["Subject"], body["Message"]))
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return found

    def metric(self, namespace: str, name: str) -> list[float]:
        """Every value of a metric of the last and the next hour."""
        now = datetime.now(UTC)
        got = self.cloudwatch.get_metric_statistics(
            Namespace=namespace,
            MetricName=name,
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=60,
            Statistics=["Maximum"],
        )
        return [point["Maximum"] for point in got["Datapoints"]]


@pytest.fixture
def reader(s3_endpoint, request):
    return Reader(s3_endpoint, f"alerts-{abs(hash(request.node.nodeid))}")


def settings_for(reader, s3_endpoint, **alerts):
    return Settings(
        alerts={
            "backend": "sns",
            "topic_arn": reader.topic,
            "endpoint_url": s3_endpoint,
            "ui_url": "https://desk.example",
            "namespace": reader.topic.rsplit(":", 1)[1],
        }
        | alerts,
        twitch={"client_secret": "planted-secret"},
    )


def test_the_sensor_of_the_code_location_tells_what_broke_and_that_it_is_over(
    s3_endpoint, reader, tmp_path
):
    settings = settings_for(reader, s3_endpoint)
    settings = settings.model_copy(
        update={"storage": settings.storage.model_copy(update={"dir": tmp_path / "lake"})}
    )
    lake = LakeResource.of(settings.storage)
    definitions = build_definitions(settings)

    def tick(instance):
        with dg.build_sensor_context(
            instance=instance, resources={"lake": lake, "settings": settings}
        ) as context:
            return vieweratlas_alerts(context).skip_message

    def freshness(instance):
        job = definitions.resolve_job_def("freshness")
        assert job.execute_in_process(instance=instance, run_config=QUIET).success

    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(instance) == "0 ended runs read, 0 messages sent, 0 incidents open"
        freshness(instance)
        told = tick(instance)
        mail = dict(reader.mail())
        assert told == f"1 ended runs read, {len(mail)} messages sent, {len(mail)} incidents open"
        text = mail["ViewerAtlas: live_chat_is_fresh of live_chat did not pass"]
        assert "is the collector running?" in text
        assert (
            "Look: https://desk.example/assets/live_chat?view=checks&checkDetail=live_chat_is_fresh" in text
        )
        assert "What to do: docs/RUNBOOK.md#live_chat_is_fresh" in text
        freshness(instance)
        tick(instance)
        assert reader.mail() == []
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        failed = definitions.resolve_job_def("analysis_daily").execute_in_process(
            instance=instance,
            partition_key=day,
            run_config=QUIET,
            raise_on_error=False,
            resources={
                "lake": LakeResource(type="file", dir="/dev/null/planted-secret"),
                "settings": settings,
            },
        )
        assert not failed.success
        tick(instance)
        [(subject, text)] = reader.mail()
        assert subject.startswith(f"ViewerAtlas: analysis_daily {day} failed at ")
        assert f"Look: https://desk.example/runs/{failed.run_id}" in text
        assert "Error: " in text
        assert "planted-secret" not in text
        tick(instance)
        assert reader.mail() == []
    assert reader.metric(settings.alerts.namespace, "Heartbeat") == [1.0]
    assert reader.metric(settings.alerts.namespace, "AtlasAgeHours") == []


class SnsDesk:
    """A job that fails as long as it is told to, watched over SNS."""

    def __init__(self, instance, lake, settings) -> None:
        self.instance, self.lake, self.settings, self.fails = instance, lake, settings, True

    def run(self):
        @dg.op
        def work():
            if self.fails:
                raise RuntimeError("kaputt \N{EM DASH} not ASCII")

        @dg.job
        def upkeep():
            work()

        return upkeep.execute_in_process(instance=self.instance, run_config=QUIET, raise_on_error=False)

    def watch(self, minutes=0.0, **alerts):
        settings = self.settings
        if alerts:
            settings = settings.model_copy(update={"alerts": settings.alerts.model_copy(update=alerts)})
        now = datetime.now(UTC) + timedelta(minutes=minutes)
        backend = AwsBackend(settings.alerts)
        return watch(self.instance, self.lake, settings, backend, now, logging.getLogger("test"))


@pytest.fixture
def desk(lake, reader, s3_endpoint):
    with dg.DagsterInstance.ephemeral() as instance:
        yield SnsDesk(instance, lake, settings_for(reader, s3_endpoint))


def test_two_messages_arrive_for_one_incident(desk, reader):
    desk.run()
    assert desk.watch().sent == 1
    desk.run()
    desk.watch()
    desk.fails = False
    desk.run()
    desk.watch()
    desk.watch()
    broken, over = reader.mail()
    assert broken[0] == "ViewerAtlas: upkeep failed at work"
    assert "Error: RuntimeError: kaputt \N{EM DASH} not ASCII" in broken[1]
    assert over[0] == "ViewerAtlas: upkeep is well again"


def test_a_message_that_sns_did_not_take_comes_later_and_until_then_there_is_no_heartbeat(desk, reader):
    desk.run()
    with pytest.raises(ClientError, match="NotFound"):
        desk.watch(topic_arn=f"{reader.topic}-gone")
    assert last_heartbeat(desk.lake) is None
    assert reader.mail() == []
    assert desk.watch().sent == 1
    assert [subject for subject, _ in reader.mail()] == ["ViewerAtlas: upkeep failed at work"]
    assert last_heartbeat(desk.lake) is not None


def test_every_sign_of_life_reaches_cloudwatch(desk, reader):
    desk.lake.put(
        "curated/analysis/latest/manifest.json",
        b'{"channels": 1, "complete": true, "date": "2026-03-01", "files": {}}',
    )
    desk.watch()
    namespace = desk.settings.alerts.namespace
    assert reader.metric(namespace, "Heartbeat") == [1.0]
    [age] = reader.metric(namespace, "AtlasAgeHours")
    assert age == last_heartbeat(desk.lake).atlas_age_hours > 0


def test_incidents_live_in_a_lake_on_s3_too(desk, reader, s3_storage):
    desk.lake = LakeResource.of(s3_storage).lake
    desk.run()
    desk.watch()
    desk.watch(30)
    assert len(reader.mail()) == 1


def test_a_real_sns_refuses_what_our_subjects_never_are(reader, s3_endpoint):
    """The oracle of the limits that `messages` keeps."""
    sns = boto3.client("sns", endpoint_url=s3_endpoint, region_name=REGION)
    with pytest.raises(ClientError, match="Subject"):
        sns.publish(TopicArn=reader.topic, Subject="x" * 101, Message="m")
