"""The production instance on this machine: real PostgreSQL, daemon and code server; moto's S3 and ECS."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import dagster as dg
import pytest
import yaml
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.remote_representation.external import RemoteRepository
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._grpc.client import DagsterGrpcClient

from collector_service.settings import StorageSettings

from .fargate_double import LOG_GROUP, LOG_PREFIX, REGION, FargateDouble
from .postgres import PostgresServer, free_port

AWS = Path(__file__).parents[2] / "infrastructure" / "dagster" / "aws"
WORKSPACE = AWS / "workspace.yaml"
CLUSTER = "vieweratlas"
LOGS_BUCKET = "vieweratlas-logs"
LAKE_BUCKET = "vieweratlas-lake"
PROGRAMS = Path(sys.executable).parent
# What differs from production: nobody wants to wait for minutes.
FASTER = {"run_monitoring": {"poll_interval_seconds": 1}, "run_queue": {"dequeue_interval_seconds": 1}}


def eventually(condition: Callable[[], object], seconds: float = 400.0, pause: float = 0.1) -> object:
    """The first true value of ``condition``, asked again and again."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause)
    return value


@dataclass(frozen=True)
class Deployment:
    """A production instance whose daemon is not running yet."""

    instance: dg.DagsterInstance
    fargate: FargateDouble
    storage: StorageSettings
    repository: RemoteRepository
    subnets: list[str]
    security_group: str
    control: Mapping[str, str]
    folder: Path

    @contextmanager
    def process(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """A program of the control plane, as long as the block lasts."""
        with _process(self.folder, self.control, *command) as process:
            yield process

    def call(self, *command: str) -> None:
        """Run a program of the control plane to its end."""
        done = subprocess.run(
            [PROGRAMS / command[0], *command[1:]],
            env=self.control,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def attempts(self, **tags: str) -> list[dg.DagsterRun]:
        """The runs with these tags, oldest first."""
        filters = dg.RunsFilter(tags={name.replace("__", "/"): value for name, value in tags.items()})
        return [record.dagster_run for record in reversed(self.instance.get_run_records(filters))]


@contextmanager
def _process(
    folder: Path, environment: Mapping[str, str], *command: str
) -> Iterator[subprocess.Popen[bytes]]:
    log = folder / f"{command[0]}-{command[1]}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PROGRAMS / command[0], *command[1:]],
            env=dict(environment),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        except BaseException:
            print(log.read_text())
            raise
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def deployed(
    postgres: PostgresServer, s3_endpoint: str, folder: Path, settings: Mapping[str, object]
) -> Iterator[Deployment]:
    """Set everything up that Terraform would, and start the code server.

    Args:
        postgres: the database server.
        s3_endpoint: moto, which is S3 and ECS alike.
        folder: for the homes of the processes and what they print.
        settings: the content of config.yaml.
    """
    home, config = folder / "home", folder / "config.yaml"
    home.mkdir()
    (folder / "empty").mkdir()
    instance_config = yaml.safe_load((AWS / "dagster.yaml").read_text())
    for section, values in FASTER.items():
        instance_config[section] = instance_config.get(section, {}) | values
    (home / "dagster.yaml").write_text(yaml.safe_dump(instance_config))
    config.write_text(yaml.safe_dump(settings))
    machine = {
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "HOME": str(folder),
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "PYTHONWARNINGS": "ignore",
    }
    # All that a run's task is given.
    run = machine | {
        "DAGSTER_HOME": str(folder / "empty"),
        "DAGSTER_PG_HOST": postgres.host,
        "DAGSTER_PG_PORT": str(postgres.port),
        "DAGSTER_PG_DB": postgres.database,
        "DAGSTER_PG_USER": postgres.user,
        "DAGSTER_PG_PASSWORD": postgres.password,
        "DAGSTER_LOGS_BUCKET": LOGS_BUCKET,
        "AWS_DEFAULT_REGION": REGION,
        "VIEWERATLAS_CONFIG": str(config),
        "STORAGE_TYPE": "s3",
        "S3_BUCKET": LAKE_BUCKET,
    }
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
            patch.setenv(name, run[name])
        subnets, security_group = _network()
        control = run | {
            "DAGSTER_HOME": str(home),
            "DAGSTER_RUN_CLUSTER": CLUSTER,
            "DAGSTER_RUN_TASK_DEFINITION": _run_task(),
            "DAGSTER_RUN_SUBNETS": ",".join(subnets),
            "DAGSTER_RUN_SECURITY_GROUPS": security_group,
            "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "1",
            "DAGSTER_CODE_HOST": "127.0.0.1",
            "DAGSTER_CODE_PORT": str(free_port()),
        }
        for name, value in control.items():
            if name.startswith("DAGSTER_"):
                patch.setenv(name, value)
        for bucket in (LOGS_BUCKET, LAKE_BUCKET):
            boto3.client("s3").create_bucket(Bucket=bucket)
        address = ["-h", control["DAGSTER_CODE_HOST"], "-p", control["DAGSTER_CODE_PORT"]]
        module = ["-m", "vieweratlas_dagster.definitions"]
        stack.enter_context(_process(folder, run, "dagster", "api", "grpc", *module, *address))
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(home)))
        eventually(lambda: _answers(control))
        targets = WorkspaceFileTarget([str(WORKSPACE)])
        workspace = stack.enter_context(WorkspaceProcessContext(instance, targets))
        location = workspace.create_request_context().get_code_location("vieweratlas")
        yield Deployment(
            instance=instance,
            fargate=stack.enter_context(FargateDouble(CLUSTER, run, folder)),
            storage=StorageSettings(type="s3", s3_bucket=LAKE_BUCKET, endpoint_url=s3_endpoint),
            repository=next(iter(location.get_repositories().values())),
            subnets=subnets,
            security_group=security_group,
            control=control,
            folder=folder,
        )


def _answers(control: Mapping[str, str]) -> bool:
    client = DagsterGrpcClient(host=control["DAGSTER_CODE_HOST"], port=int(control["DAGSTER_CODE_PORT"]))
    try:
        return bool(client.ping("?"))
    except DagsterUserCodeUnreachableError:
        return False


def _network() -> tuple[list[str], str]:
    """Subnets of two zones and a security group."""
    ec2 = boto3.client("ec2")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
    return subnets[:2], ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]


def _run_task() -> str:
    """The cluster, and the task definition of runs: its ARN with the revision."""
    ecs = boto3.client("ecs")
    ecs.create_cluster(clusterName=CLUSTER)
    logs = {"awslogs-group": LOG_GROUP, "awslogs-stream-prefix": LOG_PREFIX, "awslogs-region": REGION}
    made = ecs.register_task_definition(
        family="vieweratlas-run",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[
            {
                "name": "run",
                "image": "vieweratlas:test",
                "memory": 512,
                "logConfiguration": {"logDriver": "awslogs", "options": logs},
            }
        ],
    )
    return made["taskDefinition"]["taskDefinitionArn"]
