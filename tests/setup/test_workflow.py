""".github/workflows: what runs there is pinned, and may do no more than read."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.security.locks import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def steps(workflow, action):
    """The steps of a workflow that use an action."""
    return [
        step
        for job in yaml.safe_load(workflow.read_text())["jobs"].values()
        for step in job["steps"]
        if step.get("uses", "").startswith(f"{action}@")
    ]


def test_the_workflows_keep_to_their_schema():
    assert WORKFLOWS
    program = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [program, "--builtin-schema", "vendor.github-workflows", *WORKFLOWS], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_with_the_version_beside_it(workflow):
    uses = re.findall(r"\buses: *(.*)", workflow.read_text())
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_the_repository_and_nothing_else(workflow):
    described = yaml.safe_load(workflow.read_text())
    assert described["permissions"] == {"contents": "read"}
    for job in described["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"] <= 60
    for step in steps(workflow, "actions/checkout"):
        assert step["with"]["persist-credentials"] is False
    assert "secrets." not in workflow.read_text()


def test_the_tests_have_a_terraform_that_they_can_read():
    [step] = steps(ROOT / ".github/workflows/test.yml", "hashicorp/setup-terraform")
    assert step["with"]["terraform_wrapper"] is False
    assert tuple(map(int, step["with"]["terraform_version"].split(".")[:2])) >= (1, 11)
