"""Fargate for tests: really runs the commands of the tasks that were started on moto's ECS."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ecs.models import ecs_backends
from moto.moto_api import state_manager

REGION = "us-east-1"
LOG_GROUP = "/vieweratlas/runs"
LOG_PREFIX = "run"


class FargateDouble:
    """Starts a process for every RunTask, and tells moto how it ended, as ECS would."""

    def __init__(self, cluster: str, environment: Mapping[str, str], folder: Path) -> None:
        """Tasks of ``cluster`` run in ``folder``, with ``environment`` and nothing else."""
        self._cluster = cluster
        self._environment = dict(environment)
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._told_to_stop: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "FargateDouble":
        # Otherwise moto ends a task when it has been looked at a few times.
        state_manager.set_transition("ecs::task", {"progression": "manual", "times": sys.maxsize})
        boto3.client("logs").create_log_group(logGroupName=LOG_GROUP)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
        state_manager.unset_transition("ecs::task")

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """What ECS says of the tasks of a run."""
        ecs = boto3.client("ecs")
        arns = list(self._started())
        found = (
            ecs.describe_tasks(cluster=self._cluster, tasks=arns, include=["TAGS"])["tasks"] if arns else []
        )
        return [
            task for task in found if {"key": "dagster/run_id", "value": run_id} in task.get("tags", [])
        ]

    def signal(self, run_id: str, number: signal.Signals) -> None:
        """Send a signal to the process of a run's task: SIGTERM is a reclaimed Spot task."""
        [task] = self.tasks(run_id)
        self._processes[task["taskArn"]].send_signal(number)

    def _started(self) -> dict[str, Any]:
        return dict(ecs_backends[DEFAULT_ACCOUNT_ID][REGION].tasks.get(self._cluster, {}))

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            for arn, task in self._started().items():
                if arn not in self._processes:
                    self._processes[arn] = self._start(arn, task)
                elif task.desired_status == "STOPPED" and arn not in self._told_to_stop:
                    self._told_to_stop.add(arn)
                    # ECS sends this first, and nothing else for the next 30 seconds or more.
                    self._processes[arn].send_signal(signal.SIGTERM)
                elif task.last_status != "STOPPED" and self._processes[arn].poll() is not None:
                    self._stopped(arn, task)

    def _start(self, arn: str, task: Any) -> subprocess.Popen[bytes]:
        [container] = task.overrides["containerOverrides"]
        return subprocess.Popen(
            container["command"],
            env=self._environment,
            cwd=self._folder,
            stdout=self._output(arn).open("wb"),
            stderr=subprocess.STDOUT,
        )

    def _stopped(self, arn: str, task: Any) -> None:
        logs, stream = boto3.client("logs"), f"{LOG_PREFIX}/run/{arn.rsplit('/', 1)[-1]}"
        logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
        now = int(time.time() * 1000)
        lines = self._output(arn).read_text().splitlines() or ["(nothing)"]
        events = [{"timestamp": now, "message": line or " "} for line in lines[-100:]]
        logs.put_log_events(logGroupName=LOG_GROUP, logStreamName=stream, logEvents=events)
        code = self._processes[arn].returncode
        task.containers[0].exitCode = 128 - code if code < 0 else code
        task.stopped_reason = "Essential container in task exited"
        self._told_to_stop.add(arn)
        task.desired_status = task.last_status = "STOPPED"

    def _output(self, arn: str) -> Path:
        return self._folder / f"{arn.rsplit(os.sep, 1)[-1]}.log"
