"""Terraform for tests: infrastructure/aws in a copy, against whatever answers as AWS."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from .deployment import PROGRAMS, eventually
from .postgres import free_port

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "infrastructure" / "aws"
PROGRAM = os.environ.get("TERRAFORM", "terraform")
HAS_TERRAFORM = shutil.which(PROGRAM) is not None
NO_TERRAFORM = "Terraform is not installed: developer.hashicorp.com/terraform/install, or set TERRAFORM"
# What a real account needs none of.
OVERRIDE = """
provider "aws" {
  access_key                  = "test"
  secret_key                  = "test"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}
"""
# What somebody who deploys has in the folder: none of it may reach a test.
OPERATORS_OWN = shutil.ignore_patterns(
    ".terraform*",
    "terraform.tfstate*",
    "*.tfvars",
    "*.tfvars.json",
    "*_override.tf",
    "backend.tf",
    "adopted.tf",
)
Variables = Mapping[str, object]
# What the platform of the tests is made with. Budgets with notifications never end against moto, and moto's
# EMR Serverless has states of its own; the mocked tests look at both.
FIRST: Variables = {"image_tag": "v1", "monthly_budget_usd": 0, "protect_data": False}


class Terraform:
    """The module in a folder of its own, initialised."""

    def __init__(self, folder: Path, endpoint: str = "") -> None:
        """Copy the module to ``folder``, which must not exist; ``endpoint`` is AWS, if anything is."""
        found = subprocess.run(
            ["bash", ROOT / "infrastructure" / "setup" / "terraform.sh"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stderr
        plugins = found.stdout.strip()
        self.folder = folder
        # Terraform warns of a configuration file that is named and not there, in every output.
        unwanted = ("TF_CLI_CONFIG_FILE", "TF_PLUGIN_DIR", "AWS_PROFILE")
        self._environment = {key: value for key, value in os.environ.items() if key not in unwanted}
        self._environment |= {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
        if endpoint:
            self._environment["AWS_ENDPOINT_URL"] = endpoint
        shutil.copytree(MODULE, folder, ignore=OPERATORS_OWN)
        if endpoint:
            (folder / "moto_override.tf").write_text(OVERRIDE)
        self._prepared = ["init", "-input=false", *([f"-plugin-dir={plugins}"] if plugins else [])]

    def init(self) -> None:
        """Install the provider."""
        self.call(*self._prepared)

    def start(self, *arguments: str) -> "Command":
        """Begin with a command."""
        command = [PROGRAM, arguments[0], "-no-color", *arguments[1:]]
        return Command(command, self.folder, self._environment)

    def call(self, *arguments: str) -> str:
        """What the command prints; it must succeed."""
        return self.start(*arguments).finish()

    def start_apply(self, variables: Variables) -> "Command":
        """Begin to make everything as the variables say."""
        return self.start("apply", "-auto-approve", *_options(variables))

    def apply(self, variables: Variables) -> str:
        """Make everything as the variables say."""
        return self.start_apply(variables).finish()

    def destroy(self, variables: Variables) -> str:
        """Remove everything."""
        return self.call("destroy", "-auto-approve", *_options(variables))

    def changes(self, variables: Variables, *options: str) -> dict[str, str]:
        """What a plan would do, by address; nothing that stays as it is."""
        printed = self.call("plan", "-json", *_options(variables), *options)
        events = map(json.loads, printed.splitlines())
        planned = [event["change"] for event in events if event["type"] == "planned_change"]
        return {change["resource"]["addr"]: change["action"] for change in planned}

    def state(self) -> dict[str, Any]:
        """The state, as it is stored."""
        return json.loads((self.folder / "terraform.tfstate").read_text())

    def outputs(self) -> dict[str, Any]:
        """The values of the outputs."""
        return {name: output["value"] for name, output in self.state()["outputs"].items()}


class Command:
    """A command of Terraform that has begun."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        # A pipe that nobody reads from meanwhile would stop it.
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the command
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=self._output, stderr=subprocess.STDOUT
        )

    def finish(self) -> str:
        """What it printed; it must succeed."""
        code = self._process.wait()
        self._output.seek(0)
        printed = self._output.read()
        assert code == 0, printed
        return printed

    def stop(self) -> None:
        """End it, if it has not ended."""
        self._process.terminate()
        self._process.wait()


def _options(variables: Variables) -> list[str]:
    values = [f"-var={name}={json.dumps(value).strip(chr(34))}" for name, value in variables.items()]
    return ["-input=false", "-parallelism=30", *values]


@contextmanager
def moto_server(log: Path) -> Iterator[str]:
    """A moto of its own, in a process of its own: what other tests create is not in it.

    ``log`` gets what it prints; beside it, "requests" gets every request, for `recorded`.
    """
    port = free_port()
    recording = {"MOTO_ENABLE_RECORDING": "1", "MOTO_RECORDER_FILEPATH": str(log.with_name("requests"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PROGRAMS / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
            env=os.environ | recording,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    endpoint = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _answers(endpoint), seconds=30)
        yield endpoint
    finally:
        process.terminate()
        process.wait()


def recorded(log: Path) -> Iterator[dict[str, Any]]:
    """Every request in a "requests" file of `moto_server`, in order.

    moto's threads write a long request and the end of its line apart, so two requests can share a line.
    """
    text, decoder = log.read_text().strip(), json.JSONDecoder()
    while text:
        request, end = decoder.raw_decode(text)
        yield request
        text = text[end:].lstrip()


def _answers(endpoint: str) -> bool:
    try:
        return requests.get(f"{endpoint}/moto-api/data.json", timeout=5).ok
    except requests.ConnectionError:
        return False
