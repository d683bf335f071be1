"""docs/DEPLOYMENT.md: the cost table is what the program computes, and its commands are there."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/DEPLOYMENT.md").read_text()
SCRIPTS = ROOT / "infrastructure/aws/scripts"


@pytest.fixture(scope="module")
def cost():
    """infrastructure/aws/cost.py, which is no package."""
    found = importlib.util.spec_from_file_location("cost", ROOT / "infrastructure/aws/cost.py")
    module = importlib.util.module_from_spec(found)
    sys.modules["cost"] = module
    found.loader.exec_module(module)
    return module


def total(cost, terraform=None):
    return sum(line.dollars for line in cost.lines(terraform or cost.Terraform()))


def test_the_table_is_what_the_program_prints():
    done = subprocess.run(
        [sys.executable, ROOT / "infrastructure/aws/cost.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in PAGE, (
        "put the output of infrastructure/aws/cost.py into docs/DEPLOYMENT.md"
    )


def test_each_line_is_its_own_arithmetic(cost):
    """The text in the middle, computed by Python itself, is the number at the end."""
    for line in cost.lines(cost.Terraform()):
        beyond = re.fullmatch(r"([\d.]+), of which (\d+) free, × ([\d.]+)", line.how)
        if beyond:
            used, free, price = map(float, beyond.groups())
            assert line.dollars == pytest.approx(max(0, used - free) * price)
        else:
            written = re.sub(r" (h|vCPU|GB)(?= )", "", line.how.replace("×", "*"))
            assert re.fullmatch(r"[\d.e+*() ]+", written), written
            assert eval(written) == pytest.approx(line.dollars, rel=0.06, abs=0.006), line


def test_the_platform_costs_35_dollars_at_most(cost):
    assert total(cost) <= 35


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        ('default     = "ARM64"', 'default     = "X86_64"', 2.08),
        ('"db.t4g.micro"', '"db.t4g.small"', 11.68),
        ('var.lake_prefix}raw/snapshots/", days = 30', 'var.lake_prefix}raw/snapshots/", days = 60', 0.46),
    ],
)
def test_what_terraform_says_is_what_is_counted(cost, tmp_path, before, after, more):
    for path in (ROOT / "infrastructure/aws").glob("*.tf"):
        (tmp_path / path.name).write_text(path.read_text().replace(before, after))
    assert total(cost, cost.Terraform(tmp_path)) - total(cost) == pytest.approx(more, abs=0.02)


def test_what_is_no_longer_there_is_said(cost, tmp_path):
    for path in (ROOT / "infrastructure/aws").glob("*.tf"):
        (tmp_path / path.name).write_text(path.read_text().replace("allocated_storage", "storage"))
    with pytest.raises(
        LookupError, match="aws_db_instance dagster in infrastructure/aws does not set allocated_storage"
    ):
        total(cost, cost.Terraform(tmp_path))


def test_runs_are_as_many_and_as_large_as_scheduled(cost):
    """Ticks a day from the cron strings, sizes from the jobs' tags, else from dagster.yaml."""
    definitions = build_definitions(Settings())
    ticks = {"0 3 * * *": 1, "0 */6 * * *": 4, "*/15 * * * *": 96, "30 4 * * *": 1}
    scheduled = {schedule.job_name: ticks[schedule.cron_schedule] for schedule in definitions.schedules}
    assert {runs.job: runs.a_day for runs in cost.RUNS} == scheduled
    default = re.search(
        r'run_resources: {cpu: "(\d+)", memory: "(\d+)"}',
        (ROOT / "infrastructure/dagster/aws/dagster.yaml").read_text(),
    ).groups()
    for runs in cost.RUNS:
        tags = definitions.resolve_job_def(runs.job).tags
        cpu, memory = tags.get("ecs/cpu", default[0]), tags.get("ecs/memory", default[1])
        assert (runs.vcpus, runs.memory_gb) == (int(cpu) / 1024, int(memory) / 1024), runs.job


def commands():
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        yield from block.splitlines()


@pytest.mark.parametrize("line", [line for line in commands() if not line.endswith("# account")])
def test_a_command_without_an_account_is_one_of_ours(line):
    words = [word for word in line.split() if not re.match(r"[A-Z_]+=", word)]
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[0] == "docker":
        assert (ROOT / words[words.index("-f") + 1]).exists()
    else:
        script = ROOT / words[0]
        assert script.parent == SCRIPTS
        assert script.exists()
        text = script.read_text()
        options = [word for word in words[1:] if word.startswith("--")]
        assert [option for option in options if option not in text] == []
