"""The operators' scripts, as processes: the real Terraform, moto, and programs that note how they are used.

The tests marked ``story`` each go on where the one before ended, from an empty account to an empty account.
They take a quarter of an hour: ``make aws-test``. What moto cannot do (services) is in ``front``.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
import yaml
from pydantic import TypeAdapter

from collector_service.contract import live_key
from tests.runbook.page import commands as local_commands
from vieweratlas_dagster.alerts.heartbeat import HEARTBEAT_KEY, Heartbeat

from .deployment import AWS, PROGRAMS, eventually
from .fargate_double import REGION
from .front import SESSION, Front, front_of
from .operators import SCRIPTS, Done, Operator
from .terraform import HAS_TERRAFORM, NO_TERRAFORM, ROOT, moto_server

if not HAS_TERRAFORM:
    pytest.skip(NO_TERRAFORM, allow_module_level=True)

# Mostly waiting: the provider looks seldom at what takes minutes in a real account.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NAME = "vieweratlas"
PROGRAMS_OF_OPERATORS = sorted(path.name for path in (ROOT / SCRIPTS).glob("*.sh") if path.name != "lib.sh")
SECRETS = {"client_id": "an-id-of-twitch", "client_secret": "a-secret-of-twitch"}
ROTATED = "another-secret-of-twitch"


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    with (
        tempfile.TemporaryDirectory() as folder,
        moto_server(Path(folder) / "moto.log") as moto,
        front_of(moto) as front,
    ):
        yield front


@pytest.fixture(scope="module")
def client(front):
    """Clients of boto3 that may do anything."""

    def make(service: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=front.endpoint, region_name=REGION, **keys)

    return make


@pytest.fixture(scope="module")
def operator(front, tmp_path_factory) -> Operator:
    return Operator(tmp_path_factory.mktemp("operator"), front)


class Changes:
    """What a script changed, in AWS and with docker."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._before = len(operator.front.writes()), len(operator.docker())

    @property
    def aws(self) -> list[str]:
        """Names of the operations."""
        return self._operator.front.writes()[self._before[0] :]

    @property
    def docker(self) -> list[str]:
        """What docker did, as "push x-collector:tag"."""
        done = [arguments for arguments, _ in self._operator.docker()[self._before[1] :]]
        return [f"{words[0]} {image.rsplit('/')[-1]}" for words in done for image in words if ":" in image]


@pytest.fixture
def changes(operator) -> Changes:
    return Changes(operator)


def running_tags(client) -> dict[str, set[str]]:
    """The tags of the images that run: of both services, and of the runs that the daemon would launch."""
    ecs, found = client("ecs"), {}
    services = [f"{NAME}-collector", f"{NAME}-dagster"]
    definitions = {
        service["serviceName"].removeprefix(f"{NAME}-"): service["taskDefinition"]
        for service in ecs.describe_services(cluster=NAME, services=services)["services"]
    }
    for kind in ("collector", "dagster", "run"):
        containers = ecs.describe_task_definition(taskDefinition=definitions[kind])["taskDefinition"][
            "containerDefinitions"
        ]
        found[kind] = {container["image"].rsplit(":")[-1] for container in containers}
        for container in containers:
            for pair in container["environment"]:
                if container["name"] == "daemon" and pair["name"] == "DAGSTER_RUN_TASK_DEFINITION":
                    definitions["run"] = pair["value"]
    return found


def all_of(tag: str) -> dict[str, set[str]]:
    """The tags that run where one version is deployed."""
    return {kind: {tag} for kind in ("collector", "dagster", "run")}


# Before anything is there


@pytest.mark.parametrize("script", PROGRAMS_OF_OPERATORS)
def test_every_script_explains_itself_and_is_in_the_runbook_or_the_guide(operator, script):
    done = operator.run(script, "--help")
    assert done.code == 0
    assert f"infrastructure/aws/scripts/{script}" in done.out
    assert done.err == ""
    assert os.access(ROOT / SCRIPTS / script, os.X_OK)
    assert f"infrastructure/aws/scripts/{script}" in (ROOT / "docs" / "RUNBOOK.md").read_text()


@pytest.mark.parametrize(
    ("script", "arguments", "environment", "told"),
    [
        ("deploy.sh", [], {"IMAGE_TAG": "latest"}, "IMAGE_TAG=latest is refused"),
        ("deploy.sh", [], {"PUSH_LATEST": "true"}, "the repositories are immutable"),
        ("deploy.sh", ["now"], {}, "now is not understood"),
        ("deploy.sh", [], {"TERRAFORM": "no-such-program"}, "terraform is not installed"),
        ("safe-deploy.sh", [], {"IMAGE_TAG": "latest"}, "IMAGE_TAG=latest is refused"),
        ("safe-deploy.sh", [], {"CONTAINER_TOOL": "no-such-program"}, "docker or buildah is needed"),
        ("safe-deploy.sh", [], {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "credentials"),
        ("rotate-secret.sh", ["viewer_key"], {}, "no viewer would be recognised"),
        ("rotate-secret.sh", [], {}, "which secret"),
        ("rotate-secret.sh", ["client_id", "a-value"], {}, "now in the shell's history"),
        ("run-analysis.sh", ["yesterday"], {}, "which day"),
        ("run-analysis.sh", ["2026-02-30"], {}, "which day"),
        ("run-command.sh", [], {}, "which command"),
        ("schedules.sh", [], {}, "list, enable or disable"),
        ("schedules.sh", ["list"], {}, "The service vieweratlas-dagster does not exist"),
        ("destroy.sh", ["--yes", NAME], {}, "--keep-data or --delete-data"),
        ("destroy.sh", ["--yes", "other", "--delete-data"], {}, "this would destroy vieweratlas"),
        ("rollback.sh", [], {}, "a rollback needs a tag"),
        ("rollback.sh", [], {"IMAGE_TAG": "v1"}, "a rollback needs a tag"),
        ("deploy.sh", [], {}, "lacks the registry or the secrets"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_changes(
    operator, changes, script, arguments, environment, told
):
    done = operator.run(script, *arguments, **environment)
    assert done.code == 1
    assert told in done.err
    assert (changes.aws, changes.docker) == ([], [])


def test_a_tree_that_no_commit_holds_is_refused(operator, changes):
    forgotten = operator.root / "forgotten.py"
    forgotten.write_text("")
    for script in ("deploy.sh", "safe-deploy.sh"):
        done = operator.run(script)
        assert (done.code, "uncommitted changes" in done.err) == (1, True)
    forgotten.unlink()
    assert changes.aws == []


def test_nobody_who_would_be_told_is_refused(operator, changes):
    operator.write_variables(alert_email="")
    done = operator.run("safe-deploy.sh")
    operator.write_variables()
    assert done.code == 1
    assert "set alert_email in" in done.err
    assert changes.aws == []


# Up


def test_a_dry_run_on_an_empty_account_changes_nothing(operator, changes):
    done = operator.run("safe-deploy.sh", "--dry-run")
    assert done.code == 0, done.err
    assert "account 123456789012, region us-east-1" in done.out
    assert "would build and push vieweratlas-dagster" in done.err
    assert re.search(r"Plan: \d\d to create\n", done.err)
    assert (changes.aws, changes.docker) == ([], [])
    assert not (operator.module / "terraform.tfstate").exists()


@pytest.mark.story
def test_on_an_empty_account_registry_and_secrets_come_first(operator, changes):
    done = operator.run("safe-deploy.sh")
    assert done.code == 1
    assert set(changes.aws) == {"CreateRepository", "PutLifecyclePolicy", "CreateSecret"}
    assert changes.docker == []
    for secret in SECRETS:
        assert f"infrastructure/aws/scripts/rotate-secret.sh {secret}\n" in done.err


@pytest.mark.story
def test_the_first_values_of_secrets_come_from_standard_input(operator, client):
    assert operator.run("rotate-secret.sh", "client_id").code == 1
    assert operator.run("rotate-secret.sh", "client_id", given="two words").code == 1
    for name, value in SECRETS.items():
        done = operator.run("rotate-secret.sh", name, given=f"{value}\n")
        assert done.code == 0, done.err
        assert "No service to restart yet" in done.err
        stored = client("secretsmanager").get_secret_value(SecretId=f"{NAME}/twitch/{name}")
        assert stored["SecretString"] == value


@pytest.mark.story
def test_killed_between_two_images_the_next_run_builds_only_the_second(operator, changes):
    tag = operator.git("rev-parse", "--short=12", "HEAD")
    operator.stop_docker_before(f"build {NAME}-dagster")
    assert operator.run("safe-deploy.sh").code == -signal.SIGKILL
    assert changes.docker == [f"build {NAME}-collector:{tag}", f"push {NAME}-collector:{tag}"]
    again = Changes(operator)
    operator.stop_docker_before(f"push {NAME}-dagster")
    assert operator.run("safe-deploy.sh").code == -signal.SIGKILL
    assert again.docker == [f"build {NAME}-dagster:{tag}"]
    [login] = {given for arguments, given in operator.docker() if arguments[0] == "login"}
    assert login.strip()


def interrupt(operator: Operator, how: signal.Signals, at: str, *script: str) -> Done:
    """Run a script, and send a signal to it and all that it started when AWS is asked for an operation."""
    process = operator.start(*script)

    def before(operation: str) -> None:
        if operation == at:
            operator.front.before = lambda _: None
            os.killpg(process.pid, how)

    operator.front.before = before
    try:
        out, err = process.communicate("", timeout=400)
    finally:
        operator.front.before = lambda _: None
    return Done(process.returncode, out, err)


@pytest.mark.story
def test_killed_while_the_database_is_made_the_next_run_takes_it_over(operator, client, changes):
    assert interrupt(operator, signal.SIGKILL, "CreateDBInstance", "safe-deploy.sh").code == -signal.SIGKILL
    # AWS goes on making what it was asked for, and Terraform has no note of it.
    [made] = eventually(lambda: client("rds").describe_db_instances()["DBInstances"])
    state = json.loads((operator.module / "terraform.tfstate").read_text())
    assert not any(one["instances"] for one in state["resources"] if one["type"] == "aws_db_instance")
    done = operator.run("safe-deploy.sh", "--smoke-minutes", "0")
    assert "Its resources are adopted:\n" in done.err, done.err
    assert "\n  aws_db_instance.dagster\n" in done.err
    assert not (operator.module / "adopted.tf").exists()
    assert "the smoke test fails" in done.err, done.err
    assert done.code == 1
    [database] = client("rds").describe_db_instances()["DBInstances"]
    assert made["DbiResourceId"] == database["DbiResourceId"]
    tag = operator.git("rev-parse", "--short=12", "HEAD")
    assert changes.docker == [f"build {NAME}-dagster:{tag}", f"push {NAME}-dagster:{tag}"]
    assert running_tags(client) == all_of(tag)
    assert "FAIL  live snapshots: none since" in done.out
    assert "ok    collector service: 1 of 1 running, HEALTHY" in done.out


@pytest.fixture(scope="module")
def lake(operator, client, front):
    """A lake that is well, in which everything may be read without TLS, which moto does not have."""
    bucket, now = operator.outputs()["bucket"], datetime.now(UTC)
    s3 = client("s3")

    def readable() -> None:
        s3.delete_bucket_policy(Bucket=bucket)

    readable()
    # As if they kept being written while these tests run.
    for minutes in range(0, 30, 5):
        window = live_key(now + timedelta(minutes=minutes), "1-1")
        s3.put_object(Bucket=bucket, Key=f"{NAME}/{window}", Body=b"-")
    heartbeat = TypeAdapter(Heartbeat).dump_json(Heartbeat(now + timedelta(minutes=25), 1.0, None))
    s3.put_object(Bucket=bucket, Key=f"{NAME}/{HEARTBEAT_KEY}", Body=heartbeat)
    return readable


@pytest.mark.story
def test_the_smoke_test_passes_and_changes_nothing(operator, lake):
    lake()
    changes = Changes(operator)
    done = operator.run("smoke-test.sh")
    assert done.code == 0, done.out + done.err
    lines = [line[:4] for line in done.out.splitlines()]
    assert lines == ["ok  "] * 6
    assert changes.aws == []


# A second version, and back


@pytest.fixture(scope="module")
def first(operator, lake) -> str:
    """The tag of the first version."""
    return operator.git("rev-parse", "--short=12", "HEAD")


@pytest.mark.story
def test_a_new_version_is_built_and_reaches_services_and_runs(operator, client, first, changes):
    second = operator.commit()
    done = operator.run("deploy.sh")
    assert done.code == 0, done.err
    assert changes.docker == [
        f"{verb} {NAME}-{kind}:{second}" for kind in ("collector", "dagster") for verb in ("build", "push")
    ]
    assert running_tags(client) == all_of(second)
    revision = operator.outputs()["task_definitions"]["collector"].rpartition("/")[2]
    assert f"collector: steady, 1 of 1 running, {revision}" in done.err
    context = next(words for words, _ in operator.docker() if words[0] == "build")
    assert context[-1] == str(operator.root)
    assert context[context.index("--platform") + 1] == "linux/arm64"


@pytest.mark.story
def test_the_way_back_builds_nothing_and_reaches_runs_too(operator, client, first, lake, changes):
    lake()
    unknown = operator.run("rollback.sh", IMAGE_TAG="v0")
    assert unknown.code == 1
    assert f"  {first}\n" in unknown.err
    operator.front.before = lambda operation: lake() if operation == "ListTasks" else None
    done = operator.run("rollback.sh", IMAGE_TAG=first)
    operator.front.before = lambda _: None
    assert done.code == 0, done.out + done.err
    assert changes.docker == []
    assert running_tags(client) == all_of(first)
    assert "ok    live snapshots" in done.out


@pytest.mark.story
def test_a_plan_that_would_replace_data_is_refused(operator, first, changes):
    operator.write_variables(bucket="another-bucket")
    done = operator.run("deploy.sh", IMAGE_TAG=first)
    operator.write_variables()
    assert done.code == 1
    assert "would destroy or replace data; nothing was changed:\n  aws_s3_bucket.lake\n" in done.err
    assert changes.aws == []


# Every day


@pytest.mark.story
def test_a_rotated_secret_starts_the_services_anew_and_is_on_no_command_line(
    operator, client, lake, changes
):
    done = operator.run("rotate-secret.sh", "client_secret", given=ROTATED)
    assert done.code == 0, done.err
    assert changes.aws == ["PutSecretValue", "UpdateService", "UpdateService"]
    stored = client("secretsmanager").get_secret_value(SecretId=f"{NAME}/twitch/client_secret")
    assert stored["SecretString"] == ROTATED
    words = [word for line in operator.command_lines() for word in line]
    words += [word for arguments, _ in operator.docker() for word in arguments]
    assert len(words) > 100
    for secret in (*SECRETS.values(), ROTATED):
        assert not any(secret in word for word in words)
    state = (operator.module / "terraform.tfstate").read_text()
    assert not any(secret in state for secret in (*SECRETS.values(), ROTATED))


@pytest.mark.story
def test_a_deployment_that_ecs_takes_back_is_told_with_its_reason(operator, lake):
    operator.front.fate = "taken back"
    done = operator.run("rotate-secret.sh", "client_secret", given=ROTATED)
    operator.front.fate = "healthy"
    assert done.code == 1
    for text in (
        "was rolled back",
        "rolling back to deployment 1",
        "exit code 137 OutOfMemoryError",
        "/vieweratlas/",
    ):
        assert text in done.err


def started_task(client) -> dict[str, Any]:
    """The task that was started last: moto lists them in this order."""
    ecs = client("ecs")
    *_, newest = ecs.list_tasks(cluster=NAME)["taskArns"]
    [task] = ecs.describe_tasks(cluster=NAME, tasks=[newest])["tasks"]
    return task


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A home of Dagster like the one in the image, with a database on this machine."""
    home = tmp_path_factory.mktemp("home")
    config = yaml.safe_load((AWS / "dagster.yaml").read_text())
    del config["storage"], config["compute_logs"]
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    return home


def run_here(task: dict[str, Any], home: Path) -> str:
    """Run a task's command as Fargate would, with the rights of nobody; what it prints."""
    [override] = task["overrides"]["containerOverrides"]
    variables = {pair["name"]: pair["value"] for pair in override["environment"]}
    assert variables["DAGSTER_HOME"] == "/opt/dagster"
    nobody = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    machine = {
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "HOME": str(home),
        "LAKE_DIR": str(home / "lake"),
    }
    done = subprocess.run(
        override["command"],
        cwd=ROOT,
        env=variables | machine | nobody | {"DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.story
def test_a_day_that_is_made_by_hand_is_queued_with_its_lineage(operator, client, lake, home):
    day = str(datetime.now(UTC).date() - timedelta(days=1))
    done = operator.run("run-analysis.sh", day)
    assert done.code == 0, done.err
    task = started_task(client)
    assert task["capacityProviderName"] == "FARGATE"
    assert task["taskDefinitionArn"].rsplit("/")[-1].startswith(f"{NAME}-run:")
    run_here(task, home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        [run] = instance.get_runs()
        assert (run.job_name, run.status.value) == ("analysis_daily", "QUEUED")
        assert run.tags["dagster/partition"] == day
        assert run.remote_job_origin.location_name == "vieweratlas"
        assert run.asset_selection is None  # all of the job


@pytest.mark.story
def test_schedules_are_disabled_and_enabled(operator, client, lake, home):
    seen = []
    for word in ("disable", "enable"):
        done = operator.run("schedules.sh", word)
        assert done.code == 0, done.err
        run_here(started_task(client), home)
        with dg.DagsterInstance.from_config(str(home)) as instance:
            seen.append({one.instigator_name: one.status.value for one in instance.all_instigator_state()})
    names = ("vieweratlas_analysis_daily", "vieweratlas_vod_6h")
    assert seen == [dict.fromkeys(names, "STOPPED"), dict.fromkeys(names, "RUNNING")]


@pytest.mark.story
def test_dry_runs_start_no_task(operator, lake, changes):
    for script, *arguments in (
        ("run-analysis.sh", "2026-03-01"),
        ("schedules.sh", "disable"),
        ("tunnel.sh",),
        ("rotate-secret.sh", "client_id"),
        ("run-command.sh", "vieweratlas", "doctor"),
    ):
        extra = [arguments[0], "--dry-run", *arguments[1:]] if arguments else ["--dry-run"]
        if script == "run-command.sh":
            extra = ["--dry-run", *arguments]
        done = operator.run(script, *extra, given="x")
        assert (done.code, "would " in done.err) == (0, True), done.err
    assert changes.aws == []


@pytest.mark.story
def test_the_tunnel_leads_to_the_webserver_and_its_token_is_on_no_command_line(operator, lake):
    done = operator.run("tunnel.sh", "3333")
    assert done.code == 0, done.err
    notes = (operator.programs / "plugin.notes").read_text().split("\0")[:-1]
    assert json.loads(notes[0]) == SESSION
    assert notes[1:4] == ["AWS_SSM_START_SESSION_RESPONSE", REGION, "StartSession"]
    asked = json.loads(notes[5])
    assert asked["Target"] == f"ecs:{NAME}_of-service-{NAME}-dagster_1234-5678"
    assert asked["Parameters"] == {"portNumber": ["3000"], "localPortNumber": ["3333"]}
    assert SESSION["TokenValue"] not in "".join(notes[1:])


def commands_of_the_runbook() -> list[str]:
    """Every command of the runbook that is for AWS."""
    text = (ROOT / "docs" / "RUNBOOK.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return sorted({line for line in lines if "infrastructure/aws/scripts/" in line})


@pytest.mark.parametrize("command", commands_of_the_runbook())
@pytest.mark.story
def test_every_command_of_the_runbook_is_understood(operator, lake, changes, command):
    """What each script does is tested above; here, that commands are written as it wants them."""
    pattern = rf"(?:IMAGE_TAG=\S+ )?{SCRIPTS}/([a-z-]+\.sh) ?(.*)"
    script, text = re.fullmatch(pattern, command).groups()
    arguments = text.split()
    if script == "run-command.sh":
        # The rest of the page runs it, maybe with other options.
        assert any(line.split()[:3] == arguments[:3] for line in local_commands())
    elif (script, *arguments) not in operator.succeeded:
        dry = [] if arguments == ["list"] else ["--dry-run"]
        done = operator.run(script, *dry, *arguments, given="x")
        assert done.code == 0, done.out + done.err
        assert changes.aws == ([] if dry else ["RunTask"])


# Down


def things(client) -> dict[str, int]:
    """How many of each kind are there."""
    ecs = client("ecs")
    # moto lists services that are gone, too.
    listed = ecs.list_services(cluster=NAME)["serviceArns"]
    services = ecs.describe_services(cluster=NAME, services=listed)["services"] if listed else []
    return {
        "services": sum(service["status"] == "ACTIVE" for service in services),
        "databases": len(client("rds").describe_db_instances()["DBInstances"]),
        "buckets": len(client("s3").list_buckets()["Buckets"]),
        "secrets": len(client("secretsmanager").list_secrets()["SecretList"]),
        "repositories": len(client("ecr").describe_repositories()["repositories"]),
        "roles": len([r for r in client("iam").list_roles()["Roles"] if r["RoleName"].startswith(NAME)]),
        "alarms": len(client("cloudwatch").describe_alarms()["MetricAlarms"]),
        "log groups": len(client("logs").describe_log_groups()["logGroups"]),
        "definitions": len(ecs.list_task_definitions()["taskDefinitionArns"]),
        "groups": len(client("ec2").describe_security_groups()["SecurityGroups"]) - 1,
    }


DATA = {"buckets": 1, "secrets": 5, "repositories": 2}


@pytest.mark.story
def test_trying_to_destroy_changes_nothing(operator, lake, changes):
    done = operator.run("destroy.sh", "--yes", NAME, "--delete-data", "--dry-run")
    assert done.code == 0, done.err
    assert changes.aws == []


@pytest.mark.story
def test_all_but_the_data_is_destroyed_also_when_it_was_interrupted(operator, client, lake):
    before = things(client)
    assert before["roles"] == 8
    command = ("destroy.sh", "--yes", NAME, "--keep-data")
    assert interrupt(operator, signal.SIGINT, "DeleteRole", *command).code != 0
    done = operator.run(*command)
    assert done.code == 0, done.err
    assert {kind: count for kind, count in things(client).items() if count} == DATA
    found = client("s3").list_objects_v2(Bucket=operator.outputs()["bucket"])
    assert found["KeyCount"] == 7


@pytest.mark.story
def test_nothing_is_left(operator, client, lake):
    for _ in range(2):
        done = operator.run("destroy.sh", "--yes", NAME, "--delete-data")
        assert done.code == 0, done.err
        assert not any(things(client).values())
    assert "Nothing is left in Terraform's state." in done.err
    assert json.loads((operator.module / "terraform.tfstate").read_text())["resources"] == []
