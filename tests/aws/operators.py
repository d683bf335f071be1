"""An operator's machine for tests: a clone of the repository, and programs that note their use."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .front import Front
from .terraform import OPERATORS_OWN, OVERRIDE, PROGRAM, ROOT

SCRIPTS = Path("infrastructure/aws/scripts")
# Notes its command line, and then is the program that it stands for.
NOTING = """#!/bin/sh
printf '%s\\0' "$0" "$@" >>"{notes}"
printf '\\n' >>"{notes}"
exec "{program}" "$@"
"""
# Stands for docker: a push puts an image into the registry, and its use is noted. With a file STOP beside
# it, the whole script is killed before it does what the file says.
DOCKER = """#!{python}
import hashlib, json, os, pathlib, signal, sys
import boto3
here = pathlib.Path(__file__).parent
arguments = sys.argv[1:]
given = sys.stdin.read() if "--password-stdin" in arguments else ""
stop = here / "STOP"
image = next((one for one in arguments if ":" in one), "").rsplit("/", 1)[-1].split(":")[0]
if stop.exists() and stop.read_text() == arguments[0] + " " + image:
    stop.unlink()
    os.killpg(0, signal.SIGKILL)
with (here / "docker.notes").open("a") as notes:
    notes.write(json.dumps([arguments, given]) + "\\n")
if arguments[0] == "push":
    repository, tag = arguments[1].split("/", 1)[1].split(":")
    layer = "sha256:" + hashlib.sha256(arguments[1].encode()).hexdigest()
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = dict(schemaVersion=2, mediaType=kind, config=dict(digest=layer, size=1), layers=[])
    text = json.dumps(manifest)
    boto3.client("ecr").put_image(repositoryName=repository, imageTag=tag, imageManifest=text)
"""
PLUGIN = """#!/bin/sh
printf '%s\\0' "$AWS_SSM_START_SESSION_RESPONSE" "$@" >"{notes}"
"""


@dataclass(frozen=True)
class Done:
    """How a script ended, and what it printed."""

    code: int
    out: str
    err: str


@dataclass
class Operator:
    """A machine whose AWS is ``front``."""

    folder: Path
    front: Front
    environment: dict[str, str] = field(default_factory=dict)
    succeeded: set[tuple[str, ...]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Clone, install, and commit."""
        self.root, self.programs = self.folder / "clone", self.folder / "programs"
        self.programs.mkdir(parents=True)
        for name in ("infrastructure", "config"):
            shutil.copytree(ROOT / name, self.root / name, ignore=OPERATORS_OWN)
        shutil.copy(ROOT / ".gitignore", self.root)
        self.module = self.root / "infrastructure" / "aws"
        (self.module / "moto_override.tf").write_text(OVERRIDE)
        self.write_variables()
        # Every program that the scripts start notes its command line.
        self._noting("terraform", shutil.which(PROGRAM))
        venv = self.root / ".venv" / "bin"
        venv.mkdir(parents=True)
        self._noting("python", sys.executable).rename(venv / "python")
        self._program("docker", DOCKER.format(python=sys.executable))
        self._program("session-manager-plugin", PLUGIN.format(notes=self.programs / "plugin.notes"))
        plugins = subprocess.run(
            ["bash", ROOT / "infrastructure/setup/terraform.sh"], capture_output=True, text=True, check=True
        ).stdout.strip()
        unwanted = (
            "TF_CLI_CONFIG_FILE",
            "TF_PLUGIN_DIR",
            "AWS_PROFILE",
            "TERRAFORM",
            "IMAGE_TAG",
            "PUSH_LATEST",
        )
        self.environment = {key: value for key, value in os.environ.items() if key not in unwanted} | {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": self.front.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "TF_CLI_ARGS_init": f"-plugin-dir={plugins}" if plugins else "",
            "TF_CLI_ARGS_apply": "-parallelism=30",
            "TF_CLI_ARGS_destroy": "-parallelism=30",
        }
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit()

    def _program(self, name: str, text: str) -> Path:
        program = self.programs / name
        program.write_text(text)
        program.chmod(0o755)
        return program

    def _noting(self, name: str, program: str | None) -> Path:
        return self._program(name, NOTING.format(notes=self.programs / "argv.notes", program=program))

    def write_variables(self, **values: object) -> None:
        """The operator's terraform.tfvars. Budgets never end against moto."""
        chosen = {"monthly_budget_usd": 0, "alert_email": "operator@example.org"} | values
        lines = [f"{name} = {json.dumps(value)}" for name, value in chosen.items()]
        (self.module / "terraform.tfvars").write_text("\n".join(lines) + "\n")

    def git(self, *arguments: str) -> str:
        """What git prints."""
        identity = ["-c", "user.name=operator", "-c", "user.email=operator@example.org"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.root, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self) -> str:
        """Commit whatever is there; the tag of the images made from it."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A version")
        return self.git("rev-parse", "--short=12", "HEAD")

    def start(self, script: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a script in a process group of its own, without a terminal."""
        return subprocess.Popen(
            ["bash", self.root / SCRIPTS / script, *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, script: str, *arguments: str, given: str = "", **environment: str) -> Done:
        """Run a script to its end, with ``given`` on its standard input."""
        process = self.start(script, *arguments, **environment)
        try:
            out, err = process.communicate(given, timeout=400)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        if process.returncode == 0:
            self.succeeded.add((script, *arguments))
        return Done(process.returncode, out, err)

    def command_lines(self) -> list[list[str]]:
        """Every command line of terraform and python that the scripts have started."""
        notes = self.programs / "argv.notes"
        return [line.split("\0")[:-1] for line in notes.read_text().splitlines()] if notes.exists() else []

    def docker(self) -> list[tuple[list[str], str]]:
        """What docker was asked to do: arguments, and what it was given."""
        notes = self.programs / "docker.notes"
        return (
            [tuple(json.loads(line)) for line in notes.read_text().splitlines()] if notes.exists() else []
        )

    def stop_docker_before(self, what: str) -> None:
        """Kill the script and all that it started when docker is to do this, such as "push x-dagster"."""
        (self.programs / "STOP").write_text(what)

    def outputs(self) -> Mapping[str, Any]:
        """Terraform's outputs."""
        state = json.loads((self.module / "terraform.tfstate").read_text())
        return {name: output["value"] for name, output in state["outputs"].items()}
