"""infrastructure/aws: checked without any account, and made, changed and removed against moto."""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
import requests
import yaml
from botocore.exceptions import ClientError
from moto.events.models import EventPattern

from vieweratlas_dagster.alerts.heartbeat import Heartbeat
from vieweratlas_dagster.settings import AlertSettings, Settings

from .deployment import AWS
from .fargate_double import REGION
from .terraform import (
    FIRST,
    HAS_TERRAFORM,
    MODULE,
    NO_TERRAFORM,
    ROOT,
    Command,
    Terraform,
    moto_server,
    recorded,
)

if not HAS_TERRAFORM:
    pytest.skip(NO_TERRAFORM, allow_module_level=True)

# Mostly waiting: the provider looks seldom at what takes minutes in a real account.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SECOND = {**FIRST, "image_tag": "v2"}
# What moto does not give back as it was given; all else must be without changes.
FORGOTTEN = {
    'aws_ecs_service.this["collector"]',
    'aws_ecs_service.this["dagster"]',
    "aws_s3_bucket_notification.lake",
}
PREFIX = "vieweratlas/"
Client = Callable[..., Any]


@pytest.fixture(scope="module")
def logs() -> Iterator[Path]:
    """What moto was asked is in "requests"."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def endpoint(logs: Path) -> Iterator[str]:
    """AWS for Terraform."""
    with moto_server(logs / "moto.log") as address:
        yield address


@pytest.fixture(scope="module")
def client(endpoint: str) -> Client:
    """Makes clients of boto3 that may do anything there."""

    def make(service: str, **credentials: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"} | credentials
        return boto3.client(service, endpoint_url=endpoint, region_name=REGION, **keys)

    return make


@pytest.fixture(scope="module", autouse=True)
def applying(
    endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Terraform, Command]]:
    """The first apply is mostly waiting: it goes on beside the tests that do not need it."""
    terraform = Terraform(tmp_path_factory.mktemp("terraform") / "aws", endpoint)
    terraform.init()
    apply = terraform.start_apply(FIRST)
    yield terraform, apply
    apply.stop()


@pytest.fixture(scope="module")
def platform(applying: tuple[Terraform, Command]) -> Terraform:
    """Everything, made once; the last test of this file removes it."""
    terraform, apply = applying
    apply.finish()
    return terraform


def test_the_files_are_formatted_and_valid(applying):
    terraform, _ = applying
    assert terraform.call("fmt", "-check", "-recursive", str(MODULE)) == ""
    assert "Success" in terraform.call("validate")


def test_with_a_mocked_provider(tmp_path):
    terraform = Terraform(tmp_path / "aws")
    stand_in = terraform.folder / "tests" / "drawn_secret" / "main.tf"
    stand_in.replace(terraform.folder / "modules" / "drawn_secret" / "main.tf")
    terraform.init()
    printed = terraform.call("test")
    runs = len(re.findall(r'^run "', (MODULE / "tests" / "platform.tftest.hcl").read_text(), re.MULTILINE))
    assert f"{runs} passed, 0 failed" in printed


@pytest.fixture(scope="module")
def definitions(platform, client) -> dict[str, dict[str, Any]]:
    """The newest task definition of each kind."""
    ecs = client("ecs")
    return {
        kind: ecs.describe_task_definition(taskDefinition=f"vieweratlas-{kind}")["taskDefinition"]
        for kind in ("collector", "dagster", "run")
    }


def containers(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {container["name"]: container for container in definition["containerDefinitions"]}


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {pair["name"]: pair["value"] for pair in container.get("environment", [])}


def secrets(container: dict[str, Any]) -> dict[str, str]:
    return {pair["name"]: pair["valueFrom"] for pair in container.get("secrets", [])}


def test_the_bucket_is_versioned_private_encrypted_and_asks_for_tls(platform, client):
    s3, bucket = client("s3"), platform.outputs()["bucket"]
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    [rule] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    [statement] = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert set(statement["Resource"]) == {f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"}


def test_lifecycle_rules_meet_the_keys_of_the_lake(platform, client):
    rules = client("s3").get_bucket_lifecycle_configuration(Bucket=platform.outputs()["bucket"])["Rules"]

    def fate(key: str) -> dict[str, object]:
        """What the rules do to an object with this key."""
        met = [rule for rule in rules if (PREFIX + key).startswith(rule["Filter"]["Prefix"])]
        return {
            "removed": {days for rule in met if (days := rule.get("Expiration", {}).get("Days"))},
            "archived": {
                (t["Days"], t["StorageClass"]) for rule in met for t in rule.get("Transitions", [])
            },
            "noncurrent": {
                days
                for rule in met
                if (days := rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"))
            },
            "uploads": {
                days
                for rule in met
                if (days := rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation"))
            },
        }

    always = {"noncurrent": {7}, "uploads": {2}}
    glacier = {"archived": {(90, "GLACIER_IR")}, "removed": set()} | always
    hot = {"archived": set(), "removed": set()} | always
    day = "date=2026-03-01"
    assert fate(f"raw/snapshots/{day}/hour=01/x.ndjson.gz") == hot | {"removed": {30}}
    assert fate(f"raw/vod_chat/{day}/vod=1.ndjson.gz") == hot | {"removed": {7}}
    assert fate(f"quarantine/snapshots/{day}/x.json") == hot | {"removed": {30}}
    assert fate(f"curated/presence_snapshots/{day}/source=live/presence.parquet") == glacier
    assert fate(f"curated/channels/{day}/channels.parquet") == glacier
    assert fate(f"curated/audiences/{day}/audience.parquet") == glacier
    assert fate(f"curated/analysis/{day}/atlas.html") == glacier
    assert fate("curated/analysis/latest/atlas.html") == hot
    assert fate("state/opt_outs.json") == hot


def test_secrets_are_drawn_stored_once_and_nowhere_else(platform, client):
    manager = client("secretsmanager")
    names = {secret["Name"] for secret in manager.list_secrets()["SecretList"]}
    twitch = {f"vieweratlas/twitch/{key}" for key in ("oauth_token", "client_id", "client_secret")}
    assert names == twitch | {"vieweratlas/viewer_key", "vieweratlas/database_password"}
    state = (platform.folder / "terraform.tfstate").read_text()
    for name in ("vieweratlas/viewer_key", "vieweratlas/database_password"):
        value = manager.get_secret_value(SecretId=name)["SecretString"]
        assert 16 <= len(value) <= 64
        assert value not in state
    for name in twitch:
        # Put in by hand.
        with pytest.raises(manager.exceptions.ResourceNotFoundException):
            manager.get_secret_value(SecretId=name)


def test_containers_get_exactly_their_secrets_by_full_arn(platform, client, definitions):
    arns = {
        secret["Name"]: secret["ARN"] for secret in client("secretsmanager").list_secrets()["SecretList"]
    }
    twitch = {
        "TWITCH_CLIENT_ID": arns["vieweratlas/twitch/client_id"],
        "TWITCH_CLIENT_SECRET": arns["vieweratlas/twitch/client_secret"],
    }
    key = {"VIEWER_KEY_SECRET": arns["vieweratlas/viewer_key"]}
    database = {"DAGSTER_PG_PASSWORD": arns["vieweratlas/database_password"]}
    dagster = containers(definitions["dagster"])
    assert secrets(containers(definitions["collector"])["collector"]) == twitch | key
    assert secrets(containers(definitions["run"])["run"]) == twitch | key | database
    assert secrets(dagster["code"]) == twitch | key | database
    assert secrets(dagster["daemon"]) == secrets(dagster["webserver"]) == database


def test_every_variable_of_the_instance_and_every_setting_is_there(platform, client, definitions):
    wanted = set(re.findall(r"\{env: (\w+)\}", (AWS / "dagster.yaml").read_text()))
    dagster = containers(definitions["dagster"])
    for name in ("daemon", "webserver"):
        assert wanted <= environment(dagster[name]).keys() | secrets(dagster[name]).keys()
        found = set(re.findall(r"\{env: (\w+)\}", (AWS / "workspace.yaml").read_text()))
        assert found <= environment(dagster[name]).keys()
    run = definitions["run"]["taskDefinitionArn"]
    assert environment(dagster["daemon"])["DAGSTER_RUN_TASK_DEFINITION"] == run
    assert re.search(r":\d+$", run)
    launcher = yaml.safe_load((AWS / "dagster.yaml").read_text())["run_launcher"]["config"]
    assert containers(definitions["run"]).keys() == {launcher["container_name"]}
    outputs = platform.outputs()
    for definition, name in (("collector", "collector"), ("run", "run"), ("dagster", "code")):
        container = containers(definitions[definition])[name]
        values = environment(container) | dict.fromkeys(secrets(container), "x" * 20)
        settings = Settings.load(None, environment=values)
        assert (settings.storage.type, settings.storage.s3_bucket) == ("s3", outputs["bucket"])
        assert settings.storage.s3_prefix == PREFIX
        assert settings.alerts.topic_arn == ("" if name == "collector" else outputs["alerts_topic"])


def test_every_command_is_one_that_its_program_takes(definitions, tmp_path, monkeypatch, capsys):
    everything = [c for definition in definitions.values() for c in containers(definition).values()]
    commands = [c["command"] for c in everything]
    commands += [c["healthCheck"]["command"][1:] for c in everything if "healthCheck" in c]
    programs = {script.name: script for script in entry_points(group="console_scripts")}
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    for command in [c for c in commands if c[:2] != ["python", "-c"]]:
        # With the option last, everything before it is read first, and refused if it is unknown.
        words = [*command, "--help"]
        if command[0] == "python":
            done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=False)
            code, printed = done.returncode, done.stdout
        else:
            monkeypatch.setattr("sys.argv", words)
            with pytest.raises(SystemExit) as ended:
                programs[command[0]].load()()
            code, printed = ended.value.code, capsys.readouterr().out
        assert code == 0, printed
        assert "usage" in printed.lower()
    assert {c[0] for c in commands} == {"python", "dagster", "dagster-daemon", "dagster-webserver"}
    assert len([c for c in everything if "healthCheck" in c]) == 4


def test_containers_stop_slowly_start_in_order_and_say_how_they_are(definitions):
    collector = containers(definitions["collector"])["collector"]
    assert (definitions["collector"]["cpu"], definitions["collector"]["memory"]) == ("256", "512")
    assert collector["healthCheck"]["command"] == ["CMD", "python", "-m", "collector_service", "health"]
    for definition in definitions.values():
        assert (definition["networkMode"], definition["requiresCompatibilities"]) == ("awsvpc", ["FARGATE"])
        for container in containers(definition).values():
            assert container["stopTimeout"] == 120
            assert container["linuxParameters"]["initProcessEnabled"] is True
            assert container["image"].endswith(":v1")
    dagster = containers(definitions["dagster"])
    assert dagster.keys() == {"code", "daemon", "webserver"}
    assert sum(container["memoryReservation"] for container in dagster.values()) <= 2048
    for name in ("daemon", "webserver"):
        assert dagster[name]["dependsOn"] == [{"containerName": "code", "condition": "HEALTHY"}]


def test_services_run_on_spot_and_name_no_launch_type(platform, client, logs):
    [cluster] = client("ecs").describe_clusters(clusters=["vieweratlas"])["clusters"]
    assert sorted(cluster["capacityProviders"]) == ["FARGATE", "FARGATE_SPOT"]
    services = {
        service["serviceName"].removeprefix("vieweratlas-"): service
        for service in asked(logs, "CreateService")
    }
    assert services.keys() == {"collector", "dagster"}
    groups = {
        group["GroupName"]: group["GroupId"]
        for group in client("ec2").describe_security_groups()["SecurityGroups"]
    }
    for name, service in services.items():
        [capacity] = service["capacityProviderStrategy"]
        assert (capacity["capacityProvider"], capacity["weight"]) == ("FARGATE_SPOT", 1)
        assert "launchType" not in service
        assert service["desiredCount"] == 1
        deployment = service["deploymentConfiguration"]
        assert (deployment["minimumHealthyPercent"], deployment["maximumPercent"]) == (0, 100)
        assert deployment["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
        network = service["networkConfiguration"]["awsvpcConfiguration"]
        assert network["assignPublicIp"] == "ENABLED"
        assert network["securityGroups"] == [groups[f"vieweratlas-{name}"]]
        assert len(network["subnets"]) >= 2
        # The tunnel to the webserver; nobody needs a shell in the collector.
        assert service.get("enableExecuteCommand", False) is (name == "dagster")


def test_nothing_can_be_reached_but_the_database_from_dagster(platform, client):
    groups = {
        group["GroupName"].removeprefix("vieweratlas-"): group
        for group in client("ec2").describe_security_groups()["SecurityGroups"]
        if group["GroupName"].startswith("vieweratlas-")
    }

    def ways(name: str, direction: str) -> set[tuple[int, str]]:
        return {
            (rule["FromPort"], source)
            for rule in groups[name][direction]
            for source in [
                *(r["CidrIp"] for r in rule["IpRanges"]),
                *(r["GroupId"] for r in rule["UserIdGroupPairs"]),
            ]
        }

    anywhere = "0.0.0.0/0"
    database = groups["database"]["GroupId"]
    from_dagster = {(5432, groups[name]["GroupId"]) for name in ("dagster", "run")}
    assert {name: ways(name, "IpPermissions") for name in groups} == {
        "collector": set(),
        "dagster": set(),
        "run": set(),
        "database": from_dagster,
    }
    assert {name: ways(name, "IpPermissionsEgress") for name in groups} == {
        "collector": {(443, anywhere), (6697, anywhere)},
        "dagster": {(443, anywhere), (5432, database)},
        "run": {(443, anywhere), (5432, database)},
        "database": set(),
    }
    [server] = client("rds").describe_db_instances()["DBInstances"]
    assert server["PubliclyAccessible"] is False
    assert server["StorageEncrypted"] is True
    assert [group["VpcSecurityGroupId"] for group in server["VpcSecurityGroups"]] == [database]


def policies(client: Client) -> dict[str, list[dict[str, Any]]]:
    """The statements of every role of the platform."""
    iam = client("iam")
    return {
        role["RoleName"].removeprefix("vieweratlas-"): [
            statement
            for name in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
            for statement in iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)[
                "PolicyDocument"
            ]["Statement"]
        ]
        for role in iam.list_roles()["Roles"]
        if role["RoleName"].startswith("vieweratlas-")
    }


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_roles_trust_this_account_alone_and_hold_no_wildcards(platform, client):
    statements = policies(client)
    kinds = ("collector", "dagster", "run")
    roles = {f"{kind}-{of}" for kind in kinds for of in ("task", "execution")}
    assert statements.keys() == roles | {"fallback-trigger", "fallback-move"}
    # These actions know no resource.
    alone = {
        "ecr:GetAuthorizationToken",
        "cloudwatch:PutMetricData",
        "ecs:DescribeTaskDefinition",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    }
    for found in statements.values():
        for statement in found:
            assert not any("*" in action for action in listed(statement["Action"]))
            if "*" in listed(statement["Resource"]):
                assert set(listed(statement["Action"])) <= alone
    iam = client("iam")
    trusted = {"fallback-trigger": "events", "fallback-move": "ssm"}
    for role in iam.list_roles()["Roles"]:
        if role["RoleName"].startswith("vieweratlas-"):
            [trust] = role["AssumeRolePolicyDocument"]["Statement"]
            service = trusted.get(role["RoleName"].removeprefix("vieweratlas-"), "ecs-tasks")
            assert trust["Principal"] == {"Service": f"{service}.amazonaws.com"}
            assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}
            assert trust["Condition"]["ArnLike"]["aws:SourceArn"].count(":123456789012:") == 1


def test_each_task_may_start_with_its_own_secrets_only(platform, client, definitions):
    statements = policies(client)
    for kind, definition in definitions.items():
        [granted] = [s for s in statements[f"{kind}-execution"] if s.get("Sid") == "Secrets"]
        used = {arn for container in containers(definition).values() for arn in secrets(container).values()}
        assert set(listed(granted["Resource"])) == used


def test_dagster_may_launch_runs_and_nothing_else(platform, client, definitions):
    by_sid = {statement["Sid"]: statement for statement in policies(client)["dagster-task"]}
    run = definitions["run"]
    family = run["taskDefinitionArn"].rsplit(":", 1)[0]
    [cluster] = client("ecs").list_clusters()["clusterArns"]
    assert listed(by_sid["Launch"]["Resource"]) == [f"{family}:*"]
    assert by_sid["Launch"]["Condition"] == {"ArnEquals": {"ecs:cluster": cluster}}
    assert set(listed(by_sid["Pass"]["Resource"])) == {run["taskRoleArn"], run["executionRoleArn"]}
    assert by_sid["Pass"]["Condition"] == {
        "StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
    }
    passing = [
        role for role, found in policies(client).items() for s in found if "iam:PassRole" in s["Action"]
    ]
    assert sorted(passing) == ["dagster-task", "fallback-trigger"]


@pytest.fixture
def only_what_is_granted(platform, client, endpoint) -> Iterator[Callable[[], None]]:
    """Call it, and moto judges every request by its role, as long as the test lasts.

    The bucket refuses what comes without TLS, and moto has none, so its policy is put aside meanwhile.
    """
    bucket = platform.outputs()["bucket"]
    policy = client("s3").get_bucket_policy(Bucket=bucket)["Policy"]
    client("s3").delete_bucket_policy(Bucket=bucket)

    def judge(unjudged: int = 0) -> None:
        requests.post(f"{endpoint}/moto-api/reset-auth", data=str(unjudged), timeout=10).raise_for_status()

    yield judge
    judge(unjudged=10**9)
    # moto does not get over an object whose last version is the mark of its removal, when the bucket goes.
    for mark in client("s3").list_object_versions(Bucket=bucket).get("DeleteMarkers", []):
        client("s3").delete_object(Bucket=bucket, Key=mark["Key"], VersionId=mark["VersionId"])
    client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)


def test_without_tls_the_bucket_refuses_even_its_owner(platform, client):
    with pytest.raises(ClientError, match="403"):
        client("s3").put_object(Bucket=platform.outputs()["bucket"], Key="x", Body=b"-")


KEYS = {
    "snapshot": "raw/snapshots/date=2026-03-01/hour=01/x.ndjson.gz",
    "recording": "raw/vod_chat/date=2026-03-01/vod=1.ndjson.gz",
    "table": "curated/channels/date=2026-03-01/channels.parquet",
    "status": "state/collectors/1-1/channels.json",
    "opt-outs": "state/opt_outs.json",
    "viewer key": "state/viewer_key.json",
    "queue": "state/vod/queue.json",
}

STATE = {kind for kind, key in KEYS.items() if key.startswith("state/")}


STATE = {name for name, key in KEYS.items() if key.startswith("state/")}


@pytest.mark.parametrize(
    ("kind", "reads", "writes", "removes"),
    [
        (
            "collector",
            {"snapshot", "status", "opt-outs", "viewer key"},
            {"snapshot", "status", "viewer key"},
            set(),
        ),
        ("run", set(KEYS), set(KEYS) - {"snapshot"}, set(KEYS) - {"snapshot"}),
        ("dagster", set(KEYS), STATE, STATE),
    ],
)
def test_what_each_role_may_do_to_the_lake(
    platform, client, only_what_is_granted, kind, reads, writes, removes
):
    bucket = platform.outputs()["bucket"]
    for key in KEYS.values():
        client("s3").put_object(Bucket=bucket, Key=PREFIX + key, Body=b"-")
    role = f"arn:aws:iam::123456789012:role/vieweratlas-{kind}-task"
    given = client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    only_what_is_granted()
    s3 = client(
        "s3",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )

    def allowed(call: Callable[..., object], **arguments: object) -> set[str]:
        found = set()
        for name, key in KEYS.items():
            try:
                call(Bucket=bucket, Key=PREFIX + key, **arguments)
            except ClientError as error:
                if error.response["Error"]["Code"] != "AccessDenied":
                    raise
            else:
                found.add(name)
        return found

    assert allowed(s3.get_object) == reads
    assert allowed(s3.put_object, Body=b"-") == writes
    assert allowed(s3.delete_object) == removes
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] > 0


def test_images_are_never_replaced_and_logs_are_kept_for_a_week(platform, client):
    repositories = client("ecr").describe_repositories()["repositories"]
    assert {r["repositoryName"]: r["imageTagMutability"] for r in repositories} == {
        "vieweratlas-collector": "IMMUTABLE",
        "vieweratlas-dagster": "IMMUTABLE",
    }
    assert all(r["imageScanningConfiguration"]["scanOnPush"] for r in repositories)
    groups = client("logs").describe_log_groups()["logGroups"]
    assert {g["logGroupName"]: g["retentionInDays"] for g in groups} == {
        f"/vieweratlas/{kind}": 7 for kind in ("collector", "dagster", "run")
    }


def test_alarms_tell_the_topic_also_when_nothing_is_left_to_measure(platform, client):
    topic = platform.outputs()["alerts_topic"]
    alarms = {a["AlarmName"]: a for a in client("cloudwatch").describe_alarms()["MetricAlarms"]}
    runbook = (ROOT / "docs" / "RUNBOOK.md").read_text()
    unknown = [name for name in alarms if f"\n| `{name.removeprefix('vieweratlas-')}` | " not in runbook]
    assert unknown == []
    silent = {name.removeprefix("vieweratlas-"): a["TreatMissingData"] for name, a in alarms.items()}
    assert silent == {
        "collector-not-running": "breaching",
        "dagster-not-running": "breaching",
        "no-snapshots": "breaching",
        "no-heartbeat": "breaching",
        "collector-errors": "notBreaching",
        "failed-runs": "notBreaching",
        "old-checks": "ignore",
        "old-atlas": "ignore",
        "database-storage": "missing",
    }
    assert all(alarm["AlarmActions"] == [topic] for alarm in alarms.values())
    # What the code sends, docs/RUNBOOK.md#heartbeat_missing promises alarms on.
    sent = Heartbeat(datetime(2026, 3, 1, tzinfo=UTC), 5.0, 2.0).metrics()
    watched = {
        a["MetricName"]: a["Threshold"]
        for a in alarms.values()
        if a["Namespace"] == AlertSettings().namespace
    }
    assert watched == {
        "CollectorErrors": 1,
        "FailedRuns": 1,
        "Heartbeat": 1,
        "ChecksAgeMinutes": 60,
        "AtlasAgeHours": 36,
    }
    assert sent.keys() == watched.keys() - {"CollectorErrors", "FailedRuns"}
    policy = json.loads(client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])
    [statement] = policy["Statement"]
    assert set(statement["Principal"]["Service"]) == {"budgets.amazonaws.com", "cloudwatch.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    assert client("cloudwatch").list_dashboards()["DashboardEntries"][0]["DashboardName"] == "vieweratlas"


@pytest.fixture
def metric_filters(platform, client) -> dict[str, Callable[[str], bool]]:
    """Whether a line of a log counts, by metric: the two kinds of patterns that there are."""

    def matcher(pattern: str) -> Callable[[str], bool]:
        if re.fullmatch(r"\w+", pattern):
            return lambda line: pattern in line
        [(field, value)] = re.findall(r'^{ \$\.(\w+) = "(\w+)" }$', pattern)
        return lambda line: json.loads(line)[field] == value

    filters = client("logs").describe_metric_filters()["metricFilters"]
    groups = {f["metricTransformations"][0]["metricName"]: f["logGroupName"] for f in filters}
    assert groups == {"CollectorErrors": "/vieweratlas/collector", "FailedRuns": "/vieweratlas/run"}
    return {f["metricTransformations"][0]["metricName"]: matcher(f["filterPattern"]) for f in filters}


def test_an_error_of_the_collector_counts_and_a_warning_does_not(metric_filters, definitions):
    program = """
import logging
from collector_service.live import logs
from collector_service.settings import Settings
logs.configure(Settings.load().logging)
logging.getLogger("collector_service.live.uploader").warning("level error")
logging.getLogger("collector_service.live.uploader").error("it broke")
"""
    container = containers(definitions["collector"])["collector"]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment(container),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [metric_filters["CollectorErrors"](line) for line in done.stderr.splitlines()] == [False, True]


@dg.op
def breaks_if_told(context: dg.OpExecutionContext) -> None:
    if context.run_tags.get("told"):
        raise ValueError("told to break")


@dg.job
def a_job() -> None:
    breaks_if_told()


@pytest.mark.parametrize("told", ["", "yes"])
def test_a_failed_run_counts_once_and_a_good_one_does_not(metric_filters, told, capfd):
    result = a_job.execute_in_process(tags={"told": told}, raise_on_error=False)
    assert result.success is not bool(told)
    lines = "".join(capfd.readouterr()).splitlines()
    assert len(lines) > 3
    assert sum(map(metric_filters["FailedRuns"], lines)) == bool(told)


def test_everything_is_tagged(platform, client):
    def tags(pairs: list[dict[str, str]], key: str = "Key", value: str = "Value") -> dict[str, str]:
        return {pair[key]: pair[value] for pair in pairs}

    outputs = platform.outputs()
    found = [
        tags(client("s3").get_bucket_tagging(Bucket=outputs["bucket"])["TagSet"]),
        tags(client("rds").describe_db_instances()["DBInstances"][0]["TagList"]),
        *(tags(secret["Tags"]) for secret in client("secretsmanager").list_secrets()["SecretList"]),
    ]
    assert all(each == {"project": "vieweratlas", "managed_by": "terraform"} for each in found)


def test_an_unchanged_tree_changes_nothing_and_its_plan_holds_no_secret(platform, client):
    assert platform.changes(FIRST, "-out=saved.plan").keys() <= FORGOTTEN
    shown = platform.call("show", "-json", "saved.plan")
    assert "vieweratlas/viewer_key" in shown
    manager = client("secretsmanager")
    for name in ("vieweratlas/viewer_key", "vieweratlas/database_password"):
        assert manager.get_secret_value(SecretId=name)["SecretString"] not in shown


def asked(logs: Path, action: str) -> list[dict[str, Any]]:
    """What moto was asked for by this action of ECS, in order: it gives back little of a service."""
    return [
        json.loads(base64.b64decode(request["body"]))
        for request in recorded(logs / "requests")
        if request["headers"].get("X-Amz-Target", "").endswith(f".{action}")
    ]


def no_spot(service: str, **changed: str) -> dict[str, Any]:
    """What ECS tells when it finds no Spot capacity for a service."""
    detail = {
        "eventType": "ERROR",
        "eventName": "SERVICE_TASK_PLACEMENT_FAILURE",
        "clusterArn": "arn:aws:ecs:us-east-1:123456789012:cluster/vieweratlas",
        "capacityProviderArns": ["arn:aws:ecs:us-east-1:123456789012:capacity-provider/FARGATE_SPOT"],
        "reason": "RESOURCE:FARGATE",
    }
    return {
        "source": "aws.ecs",
        "detail-type": "ECS Service Action",
        "resources": [service],
        "detail": detail | changed,
    }


def test_without_spot_a_service_moves_to_fargate_and_people_are_told(platform, client, logs):
    events = client("events")
    pattern = EventPattern.load(events.describe_rule(Name="vieweratlas-no-spot")["EventPattern"])
    collector, dagster = (
        f"arn:aws:ecs:us-east-1:123456789012:service/vieweratlas/vieweratlas-{name}"
        for name in ("collector", "dagster")
    )
    on_demand = "arn:aws:ecs:us-east-1:123456789012:capacity-provider/FARGATE"
    assert pattern.matches_event(no_spot(collector))
    assert pattern.matches_event(no_spot(dagster))
    assert not pattern.matches_event(no_spot(collector.replace("vieweratlas-", "other-")))
    assert not pattern.matches_event(no_spot(collector, eventName="SERVICE_STEADY_STATE"))
    assert not pattern.matches_event(no_spot(collector, reason="RESOURCE:ENI"))
    # Otherwise it would go round while FARGATE is scarce too.
    assert not pattern.matches_event(no_spot(collector, capacityProviderArns=[on_demand]))

    [target] = events.list_targets_by_rule(Rule="vieweratlas-no-spot")["Targets"]
    document = "arn:aws:ssm:us-east-1:123456789012:automation-definition/vieweratlas-leave-spot"
    assert target["Arn"] == f"{document}:$DEFAULT"
    assert target["RoleArn"].endswith(":role/vieweratlas-fallback-trigger")
    assert target["InputTransformer"]["InputPathsMap"] == {"service": "$.resources[0]"}
    given = json.loads(target["InputTransformer"]["InputTemplate"].replace("<service>", f'"{collector}"'))
    may = {s["Sid"]: s for s in policies(client)["fallback-trigger"]}
    assert listed(may["Start"]["Action"]) == ["ssm:StartAutomationExecution"]
    ssm = "arn:aws:ssm:us-east-1:123456789012"
    assert set(listed(may["Start"]["Resource"])) == {
        f"{document}:*",
        f"{ssm}:document/vieweratlas-leave-spot",
        f"{ssm}:automation-execution/*",
    }

    steps = json.loads(client("ssm").get_document(Name="vieweratlas-leave-spot")["Content"])
    assert given.keys() == steps["parameters"].keys()
    assert re.fullmatch(steps["parameters"]["Service"]["allowedPattern"], given["Service"][0])
    assert steps["assumeRole"].endswith(":role/vieweratlas-fallback-move")
    assert may["Pass"]["Resource"] == steps["assumeRole"]
    called = set()
    for step in steps["mainSteps"]:
        assert step["action"] == "aws:executeAwsApi"
        inputs = json.loads(json.dumps(step["inputs"]).replace("{{ Service }}", given["Service"][0]))
        service, action = inputs.pop("Service"), inputs.pop("Api")
        # boto3 refuses what the API does not know.
        getattr(client(service), re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower())(**inputs)
        called.add((f"{service}:{action}", inputs.get("TopicArn", collector)))
    rights = {
        (action, resource)
        for s in policies(client)["fallback-move"]
        for action in listed(s["Action"])
        for resource in listed(s["Resource"])
    }
    assert rights == called | {("ecs:UpdateService", dagster)}
    assert called == {("ecs:UpdateService", collector), ("sns:Publish", platform.outputs()["alerts_topic"])}
    moved = asked(logs, "UpdateService")[-1]
    assert moved["capacityProviderStrategy"] == [{"capacityProvider": "FARGATE", "weight": 1}]
    assert moved["forceNewDeployment"] is True


def test_the_next_apply_brings_a_moved_service_back_in_place(platform, tmp_path):
    # As AWS would have it; moto forgets the strategy of a service, so the state is not refreshed from it.
    state = platform.state()
    for resource in state["resources"]:
        if resource["type"] == "aws_ecs_service":
            for instance in resource["instances"]:
                moved = {"capacity_provider": "FARGATE", "weight": 1, "base": 0}
                instance["attributes"]["capacity_provider_strategy"] = [moved]
    stored = tmp_path / "moved.tfstate"
    stored.write_text(json.dumps(state))
    changes = platform.changes(FIRST, "-refresh=false", f"-state={stored}")
    assert changes.keys() <= FORGOTTEN
    assert changes['aws_ecs_service.this["collector"]'] == "update"
    assert changes['aws_ecs_service.this["dagster"]'] == "update"


def test_a_new_image_and_the_way_back_reach_services_and_runs(platform, client):
    ecs = client("ecs")
    seen = []
    for variables in (SECOND, FIRST):
        platform.apply(variables)
        tag = variables["image_tag"]
        services = ecs.describe_services(
            cluster="vieweratlas", services=["vieweratlas-collector", "vieweratlas-dagster"]
        )["services"]
        definitions = [service["taskDefinition"] for service in services]
        made = {
            arn: ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"] for arn in definitions
        }
        daemon = next(containers(d)["daemon"] for d in made.values() if "daemon" in containers(d))
        run = environment(daemon)["DAGSTER_RUN_TASK_DEFINITION"]
        made[run] = ecs.describe_task_definition(taskDefinition=run)["taskDefinition"]
        for definition in made.values():
            assert all(c["image"].endswith(f":{tag}") for c in definition["containerDefinitions"])
        seen.append(run)
    assert seen[0] != seen[1]


def test_nothing_is_left(platform, client):
    platform.destroy(FIRST)
    assert platform.state()["resources"] == []
    assert client("s3").list_buckets()["Buckets"] == []
    assert client("rds").describe_db_instances()["DBInstances"] == []
    assert client("secretsmanager").list_secrets()["SecretList"] == []
    assert not [r for r in client("iam").list_roles()["Roles"] if r["RoleName"].startswith("vieweratlas-")]
