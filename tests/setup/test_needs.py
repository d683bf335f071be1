"""infrastructure/setup: what the machine lacks is listed before any work, or installed at once."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.security.locks import ROOT

BASH = shutil.which("bash")
NEEDS = ROOT / "infrastructure/setup/needs.sh"
MISSING = """\
This machine lacks:
  Python 3.11 or newer with venv (or set PYTHON to its path)
  git
  Java 17 or newer (or set JAVA_HOME to its folder)
  buildah
"""
# "Installs" the four programs.
APT_GET = """#!/bin/sh
echo "$@" >>{folder}/apt-get.log
[ "$1" = install ] || exit 0
for program in python3 git java buildah; do
    printf '#!/bin/sh\\necho version \\"21.0.8\\" >&2\\n' >{folder}/$program
    chmod +x {folder}/$program
done
"""


class Machine:
    """A PATH with nothing but what the script itself uses, and a user."""

    def __init__(self, folder, user=1000):
        self.folder = folder
        for name in ("grep", "sed", "chmod"):
            (folder / name).symlink_to(shutil.which(name))
        self.add("id", f"#!/bin/sh\necho {user}\n")

    def add(self, name, text="#!/bin/sh\n"):
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def needs(self, *needs, **environment):
        return subprocess.run(
            [BASH, NEEDS, *needs],
            env={"PATH": str(self.folder)} | environment,
            capture_output=True,
            text=True,
        )


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("apt", "sudo apt install python3-venv git default-jre-headless buildah"),
        ("dnf", "sudo dnf install python3 git java-headless buildah"),
        ("brew", "brew install python git temurin "),
        (None, None),
    ],
)
def test_all_that_is_missing_is_listed_at_once_with_one_command(tmp_path, manager, command):
    machine = Machine(tmp_path)
    if manager:
        machine.add(manager)
    done = machine.needs("python", "git", "java", "buildah")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == MISSING + (f"Install what is missing: {command}\n" if command else "")


def test_what_is_there_is_not_listed(tmp_path):
    machine = Machine(tmp_path)
    machine.add("python3.12")
    machine.add("pg_ctl")
    machine.add("google-chrome")
    assert machine.needs("python", "postgres", "chromium").returncode == 0
    assert "lacks:\n  git\n" in machine.needs("python", "git", "postgres").stderr


@pytest.mark.parametrize(
    ("need", "variable", "path"),
    [
        ("python", "PYTHON", "mine"),
        ("chromium", "CHROMIUM", "mine"),
        ("java", "JAVA_HOME", "mine/bin/java"),
    ],
)
def test_a_program_of_its_own_is_named_by_a_variable(tmp_path, need, variable, path):
    (tmp_path / "programs").mkdir()
    machine = Machine(tmp_path / "programs")
    assert machine.needs(need).returncode == 1
    program = tmp_path / path
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\necho 'openjdk version \"17.0.2\"' >&2\n")
    program.chmod(0o755)
    assert machine.needs(need, **{variable: str(tmp_path / "mine")}).returncode == 0


def test_a_program_that_is_too_old_is_missing(tmp_path):
    machine = Machine(tmp_path)
    machine.add("java", "#!/bin/sh\necho 'openjdk version \"1.8.0_392\"' >&2\n")
    machine.add("python3", "#!/bin/sh\nexit 1\n")
    assert machine.needs("python", "java").stderr.count("or newer") == 2


def test_root_gets_all_of_it_installed_after_one_update(tmp_path):
    machine = Machine(tmp_path, user=0)
    machine.add("apt")
    machine.add("apt-get", APT_GET.format(folder=tmp_path))
    done = machine.needs("python", "git", "java", "buildah")
    assert (done.returncode, done.stderr) == (0, "")
    update, install = (tmp_path / "apt-get.log").read_text().splitlines()
    assert update.split()[0] == "update"
    assert install.endswith("--no-install-recommends python3-venv git default-jre-headless buildah")
    machine.needs("python", "git", "java", "buildah")
    assert len((tmp_path / "apt-get.log").read_text().splitlines()) == 2


def test_what_apt_does_not_install_is_listed(tmp_path):
    machine = Machine(tmp_path, user=0)
    machine.add("apt")
    machine.add("apt-get", "#!/bin/sh\nexit 100\n")
    done = machine.needs("python", "git", "java", "buildah")
    assert done.returncode == 1
    assert MISSING in done.stderr


def test_only_the_check_of_needs_updates_the_lists_of_apt():
    updating = [
        path for path in (ROOT / "infrastructure").rglob("*.sh") if "apt-get update" in path.read_text()
    ]
    assert updating == [NEEDS]


@pytest.mark.parametrize(
    ("target", "needs"),
    [
        ("test", "python git java chromium postgres"),
        ("unit", "python git java chromium postgres"),
        ("long-test", "python git java chromium postgres"),
        ("pictures", "python chromium"),
        ("bench-page", "python chromium"),
        ("bench-dagster", "python postgres"),
        ("bench-spark", "python java"),
        ("images-test", "python buildah mmdebstrap"),
    ],
)
def test_a_target_looks_for_its_needs_before_anything_else(target, needs):
    printed = subprocess.run(
        ["make", "--dry-run", "--always-make", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("MAKE")},
    ).stdout
    assert printed.splitlines()[0] == f"bash infrastructure/setup/needs.sh {needs}"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TERRAFORM": "no-such-terraform"}, "need Terraform 1.11 or newer"),
        ({"TERRAFORM": "old-terraform"}, "is version 1.9.8"),
        ({"TERRAFORM": "new-terraform", "TF_PLUGIN_DIR": "/nowhere"}, "TF_PLUGIN_DIR is /nowhere"),
    ],
)
def test_a_missing_terraform_or_provider_is_reported(tmp_path, environment, message):
    for name, version in (("old-terraform", "1.9.8"), ("new-terraform", "1.14.7")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho Terraform v{version}\n")
        program.chmod(0o755)
    done = subprocess.run(
        ["bash", ROOT / "infrastructure/setup/terraform.sh"],
        env=os.environ | environment | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stdout == ""


def test_without_terraform_its_tests_are_skipped_with_the_reason():
    """One line for each file, not for each test."""
    files = [f"tests/aws/test_{name}.py" for name in ("terraform", "scripts", "script_steps")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *files, "-q", "-p", "no:cacheprovider", "-k", "not image"],
        cwd=ROOT,
        env=os.environ | {"TERRAFORM": "no-such-terraform", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    skipped = re.findall(
        r"^SKIPPED \[\d\] (.*):\d+: Terraform is not installed: .*", done.stdout, re.MULTILINE
    )
    assert sorted(skipped) == sorted(files)
