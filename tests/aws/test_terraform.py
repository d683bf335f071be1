"""infrastructure/aws: checked without any account, and made, changed and removed against moto."""

import base64
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
import yaml
from botocore.exceptions import ClientError

from vieweratlas_dagster.settings import Settings

from .deployment import AWS, PROGRAMS
from .fargate_double import REGION
from .terraform import MODULE, ROOT, Terraform, moto_server

# Mostly waiting: the provider looks seldom at what takes minutes in a real account.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Budgets with notifications never end against moto; the mocked tests look at them.
FIRST = {"image_tag": "v1", "monthly_budget_usd": 0, "protect_data": False}
SECOND = FIRST | {"image_tag": "v2"}
# What moto does not give back as it was given; all else must be without changes.
FORGOTTEN = {
    'aws_ecs_service.this["collector"]',
    'aws_ecs_service.this["dagster"]',
    "aws_s3_bucket_notification.lake",
}
PREFIX = "vieweratlas/"


def test_the_files_are_formatted_and_valid(tmp_path):
    terraform = Terraform(tmp_path / "aws")
    assert terraform.call("fmt", "-check", "-recursive", str(MODULE)) == ""
    terraform.init()
    assert "Success" in terraform.call("validate")


def test_with_a_mocked_provider(tmp_path):
    terraform = Terraform(tmp_path / "aws")
    stand_in = terraform.folder / "tests" / "drawn_secret" / "main.tf"
    stand_in.replace(terraform.folder / "modules" / "drawn_secret" / "main.tf")
    terraform.init()
    printed = terraform.call("test")
    runs = len(re.findall(r'^run "', (MODULE / "tests" / "platform.tftest.hcl").read_text(), re.MULTILINE))
    assert f"{runs} passed, 0 failed" in printed


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"TERRAFORM": "no-such-terraform"}, "need Terraform 1.11 or newer"),
        ({"TERRAFORM": "old-terraform"}, "is version 1.9.8"),
        ({"TF_PLUGIN_DIR": "/nowhere"}, "TF_PLUGIN_DIR is /nowhere"),
    ],
)
def test_a_missing_terraform_or_provider_is_told(tmp_path, environment, told):
    old = tmp_path / "old-terraform"
    old.write_text("#!/bin/sh\necho Terraform v1.9.8\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["bash", ROOT / "infrastructure" / "setup" / "terraform.sh"],
        env=os.environ | environment | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert told in done.stderr
    assert done.stdout == ""


Client = Callable[[str], Any]


@pytest.fixture(scope="module")
def logs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def endpoint(logs) -> Iterator[str]:
    with moto_server(logs / "moto.log") as address:
        yield address


@pytest.fixture(scope="module")
def client(endpoint) -> Client:
    """Clients of boto3 that may do anything."""

    def make(service: str, **credentials: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"} | credentials
        return boto3.client(service, endpoint_url=endpoint, region_name=REGION, **keys)

    return make


@pytest.fixture(scope="module")
def platform(endpoint, tmp_path_factory) -> Terraform:
    """Everything, made once; the last test of this file removes it."""
    terraform = Terraform(tmp_path_factory.mktemp("terraform") / "aws", endpoint)
    terraform.init()
    terraform.apply(FIRST)
    return terraform


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


def test_every_command_is_one_that_its_program_takes(definitions, tmp_path):
    commands = {
        " ".join(container["command"]): container["command"]
        for definition in definitions.values()
        for container in containers(definition).values()
    }
    assert "python -m collector_service" in commands
    for command in commands.values():
        # With the option last, everything before it is read first, and refused if it is unknown.
        done = subprocess.run(
            [PROGRAMS / command[0], *command[1:], "--help"],
            cwd=tmp_path,
            env={"PATH": str(PROGRAMS), "HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "usage" in done.stdout.lower()


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
    # moto gives back little of a service, so this looks at what it was asked for.
    asked = [
        json.loads(base64.b64decode(request["body"]))
        for request in map(json.loads, (logs / "requests").read_text().splitlines())
        if request["headers"].get("X-Amz-Target", "").endswith(".CreateService")
    ]
    services = {service["serviceName"].removeprefix("vieweratlas-"): service for service in asked}
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
    assert statements.keys() == {f"{kind}-{of}" for kind in kinds for of in ("task", "execution")}
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
    for role in iam.list_roles()["Roles"]:
        if role["RoleName"].startswith("vieweratlas-"):
            [trust] = role["AssumeRolePolicyDocument"]["Statement"]
            assert trust["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
            assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}


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
    assert passing == ["dagster-task"]


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
    silent = {name.removeprefix("vieweratlas-"): a["TreatMissingData"] for name, a in alarms.items()}
    assert silent == {
        "collector-not-running": "breaching",
        "dagster-not-running": "breaching",
        "no-snapshots": "breaching",
        "no-heartbeat": "breaching",
        "collector-errors": "notBreaching",
        "failed-runs": "notBreaching",
        "database-storage": "missing",
    }
    assert all(alarm["AlarmActions"] == [topic] for alarm in alarms.values())
    policy = json.loads(client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])
    [statement] = policy["Statement"]
    assert set(statement["Principal"]["Service"]) == {"budgets.amazonaws.com", "cloudwatch.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    assert client("cloudwatch").list_dashboards()["DashboardEntries"][0]["DashboardName"] == "vieweratlas"


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


def test_an_unchanged_tree_changes_nothing(platform):
    assert platform.changes(FIRST).keys() <= FORGOTTEN


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
    assert json.loads((platform.folder / "terraform.tfstate").read_text())["resources"] == []
    assert client("s3").list_buckets()["Buckets"] == []
    assert client("rds").describe_db_instances()["DBInstances"] == []
    assert client("secretsmanager").list_secrets()["SecretList"] == []
    assert not [r for r in client("iam").list_roles()["Roles"] if r["RoleName"].startswith("vieweratlas-")]
