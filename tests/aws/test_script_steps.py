"""Single steps of the operators' scripts, without AWS: lib.sh is sourced, and what asks AWS is replaced."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .operators import SCRIPTS
from .terraform import HAS_TERRAFORM, MODULE, NO_TERRAFORM, ROOT

LIBRARY = ROOT / SCRIPTS / "lib.sh"


@pytest.fixture
def tree(tmp_path) -> Path:
    """A repository of two commits, of which the first is the tag v1, with what the steps read."""
    scripts = tmp_path / SCRIPTS
    scripts.mkdir(parents=True)
    shutil.copy(LIBRARY, scripts)
    shutil.copy(MODULE / "variables.tf", scripts.parent)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    git(tmp_path, "init", "--quiet")
    for number in (1, 2):
        git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", f"Version {number}")
        git(tmp_path, "tag", f"v{number}")
    return tmp_path


def git(tree: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=operator", "-c", "user.email=operator@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=tree, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def bash(tree: Path, steps: str) -> subprocess.CompletedProcess[str]:
    """Source the tree's lib.sh and go on with ``steps``."""
    command = ["bash", "-c", f"source {tree / SCRIPTS / 'lib.sh'}\n{steps}"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


# Nothing is in the registry; the builder prints its command and what it was told by the environment.
PUBLISH = """
name=vieweratlas architecture=X86_64 CONTAINER_TOOL=build_tool
ops() { case $1 in missing-images) printf 'collector\\ndagster\\n' ;; registry) echo registry ;; esac }
build_tool() { echo "$1 attestations=$((1 - BUILDX_NO_DEFAULT_ATTESTATIONS))"; }
tag=%s
publish_images
"""


@pytest.mark.parametrize("tag", ["v2", "a-name-of-its-own", "{head}"])
def test_an_image_is_built_without_images_beside_it(tree, tag):
    done = bash(tree, PUBLISH % tag.format(head=git(tree, "rev-parse", "--short=12", "HEAD")))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["build attestations=0", "push attestations=0"] * 2


@pytest.mark.parametrize("tag", ["v1", "{first}", "0123456789ab"])
def test_no_image_gets_the_name_of_another_commit(tree, tag):
    tag = tag.format(first=git(tree, "rev-parse", "--short=12", "v1"))
    done = bash(tree, PUBLISH % tag)
    assert done.returncode == 1
    assert f"IMAGE_TAG={tag} names a different commit than this tree's" in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(not HAS_TERRAFORM, reason=NO_TERRAFORM)
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("terraform.tfvars", 'region = "eu-central-1"\n'),
        ("terraform.tfvars.json", '{"region": "eu-central-1"}'),
        ("mine.auto.tfvars", 'region = "eu-central-1"\n'),
        ("mine.auto.tfvars.json", '{"region": "eu-central-1"}'),
    ],
)
def test_the_scripts_know_every_file_of_variables_that_terraform_reads(tree, file, text):
    (tree / SCRIPTS.parent / file).write_text(text)
    done = bash(tree, 'know_variables; echo "$name $region"')
    assert done.stdout == "vieweratlas eu-central-1\n", done.stderr


@pytest.mark.parametrize(("version", "code"), [("3 2", 1), ("4 3", 1), ("4 4", 0), ("5 2", 0)])
def test_an_old_bash_is_told(tree, version, code):
    library = tree / SCRIPTS / "lib.sh"
    # The real variable cannot be set.
    library.write_text(f"VERSION=({version})\n" + LIBRARY.read_text().replace("BASH_VERSINFO", "VERSION"))
    done = bash(tree, "")
    assert (done.returncode, "4.4 or newer" in done.stderr) == (code, code == 1)
