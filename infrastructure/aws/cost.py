"""The platform's cost per month: `python infrastructure/aws/cost.py`, standard library only.

List prices and assumptions about use are here. Sizes and counts are read from the Terraform files beside
this one, with the defaults of the variables, so that a changed default changes the table.
docs/DEPLOYMENT.md has the output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
HOURS = 730.0
DAYS = 30.4
GB = 1e9

# List prices of us-east-1 in dollars, November 2026; without the allowances of an account's first year.
PRICES = {
    "X86_64 vCPU-hour": 0.04048,
    "X86_64 GB-hour": 0.004445,
    "ARM64 vCPU-hour": 0.03238,
    "ARM64 GB-hour": 0.00356,
    # The share of the price that is paid. AWS moves it slowly, and promises only "up to 70% off".
    "FARGATE": 1.0,
    "FARGATE_SPOT": 0.32,
    "public IPv4 hour": 0.005,
    "db.t4g.micro hour": 0.016,
    "db.t4g.small hour": 0.032,
    "RDS gp3 GB": 0.115,
    "secret": 0.40,
    "alarm": 0.10,
    "metric": 0.30,
    "dashboard": 3.00,
    "log GB": 0.50,
    "S3 GB": 0.023,
    "Glacier IR GB": 0.004,
    "S3 1000 writes and lists": 0.005,
    "S3 1000 reads": 0.0004,
    "ECR GB": 0.10,
    "GB between zones": 0.02,
}
# The permanent allowance of CloudWatch per account. Other systems of the account may have used it up.
FREE = {"alarm": 10, "metric": 10, "dashboard": 3, "log GB": 5}


@dataclass(frozen=True)
class Runs:
    """One job's runs: how many a day, how long each is billed in minutes, vCPUs and GB.

    A run is billed from the moment its image is pulled, which takes about a minute.
    """

    job: str
    a_day: float
    minutes: float
    vcpus: float
    memory_gb: float


# Frequencies: vieweratlas_dagster/automation/schedules.py. Sizes: the jobs' tags, else run_resources in
# infrastructure/dagster/aws/dagster.yaml. Recordings are off by default, and the runs then end at once.
RUNS = (
    Runs("analysis_daily", 1, 20, 1, 4),
    Runs("vod_6h", 4, 2, 1, 4),
    Runs("freshness", 96, 2, 0.25, 1),
    Runs("maintenance", 1, 2, 1, 4),
)
# 5,000 channels. Bytes a row were measured on the lake of `make demo`.
ROWS_A_DAY = 37e6  # (channel, viewer, window)
RAW_BYTES = 18.0
CURATED_BYTES = 4.1  # presence 3.2, the days' audiences 0.9
ANALYSIS_BYTES_A_DAY = 100e6  # of a map with 400,000 edges, most of it GEXF
ARCHIVED_DAYS = 365  # of curated data: the table is that of a platform a year old
# The collector 300; the sensor for late data 144 ticks of 12 lists; the checks 96 runs of 4 lists; the logs
# of 102 runs 6 each; heartbeats 288; the daily run and the rest 500.
WRITES_A_DAY = 300 + 144 * 12 + 96 * 4 + 102 * 6 + 288 + 500
READS_A_DAY = (
    12_000  # the sensor for alerts 3 a minute, the one for late data 29 a tick, the daily run 1,000
)
LOG_GB = 2.0
ZONE_GB = 3.0  # between Dagster and its database, when they are in different zones
# Versions share the layer of their dependencies, unless those changed.
DEPENDENCY_LAYERS, DEPENDENCIES_GB, PROJECT_GB = 3, 0.55, 0.005


class Terraform:
    """The files as `terraform fmt` writes them: a block's braces close at its own indentation."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read all .tf files of the folder."""
        self._text = "\n".join(path.read_text() for path in sorted(folder.glob("*.tf")))

    def block(self, *header: str) -> str:
        """The inside of a top-level block, such as ``block("module", "collector")``.

        Raises:
            LookupError: the files lack such a block.
        """
        opening = " ".join([header[0], *(f'"{label}"' for label in header[1:])])
        found = re.search(rf"^{re.escape(opening)} {{\n(.*?)^}}", self._text, re.MULTILINE | re.DOTALL)
        if not found:
            raise LookupError(f"infrastructure/aws lacks {opening}: adapt cost.py")
        return found[1]

    def value(self, attribute: str, *header: str) -> str:
        """An attribute of a block, a variable's default in place of the variable.

        Raises:
            LookupError: the block lacks the attribute.
        """
        found = re.search(rf"^ *{attribute} += (.+)$", self.block(*header), re.MULTILINE)
        if not found:
            raise LookupError(
                f"{' '.join(header)} in infrastructure/aws does not set {attribute}: adapt cost.py"
            )
        written = found[1].strip()
        if written.startswith("var."):
            return self.default(written.removeprefix("var."))
        return written.strip('"')

    def default(self, variable: str) -> str:
        """A variable's default."""
        return self.value("default", "variable", variable)

    def number(self, pattern: str) -> float:
        """The number that the pattern's group finds.

        Raises:
            LookupError: no file matches the pattern.
        """
        found = re.search(pattern, self._text, re.MULTILINE)
        if not found:
            raise LookupError(f"infrastructure/aws lacks {pattern!r}: adapt cost.py")
        return float(found[1])

    def count(self, pattern: str) -> int:
        """How often the pattern occurs."""
        return len(re.findall(pattern, self._text, re.MULTILINE))


@dataclass(frozen=True)
class Line:
    """One line of the table: an item, how its price comes about, dollars a month."""

    what: str
    how: str
    dollars: float


def lines(terraform: Terraform) -> Iterator[Line]:
    """The table, from always-on to small."""
    architecture = terraform.default("cpu_architecture")
    for service in ("collector", "dagster"):
        vcpus = float(terraform.value("cpu", "module", service)) / 1024
        memory = float(terraform.value("memory", "module", service)) / 1024
        capacity = terraform.default(f"{service}_capacity")
        yield _fargate(f"{service}, {architecture}", HOURS, vcpus, memory, architecture, capacity)
    hours = {runs: runs.a_day * DAYS * runs.minutes / 60 for runs in RUNS}
    for runs, busy in hours.items():
        name = f"runs of {runs.job}, {runs.a_day:g} a day of {runs.minutes:g} min"
        yield _fargate(name, busy, runs.vcpus, runs.memory_gb, architecture, "FARGATE_SPOT")
    yield _times(
        "public addresses: two services, and runs", 2 * HOURS + sum(hours.values()), "public IPv4 hour"
    )
    kind = terraform.value("instance_class", "resource", "aws_db_instance", "dagster")
    yield _times(f"PostgreSQL, {kind}", HOURS, f"{kind} hour")
    storage = float(terraform.value("allocated_storage", "resource", "aws_db_instance", "dagster"))
    yield _times("its storage, GB", storage, "RDS gp3 GB")
    yield _times("secrets", _secrets(terraform), "secret")
    yield from _storage(terraform)
    yield _times(
        "requests to S3, writes and lists, thousands",
        WRITES_A_DAY * DAYS / 1000,
        "S3 1000 writes and lists",
    )
    yield _times("requests to S3, reads, thousands", READS_A_DAY * DAYS / 1000, "S3 1000 reads")
    tags = terraform.number(r'"imageCountMoreThan", countNumber = (\d+)')
    images = DEPENDENCY_LAYERS * DEPENDENCIES_GB + tags * PROJECT_GB
    yield _times("images in ECR, GB", images, "ECR GB")
    yield _beyond_free("alarms", terraform.count(r'\bcomparison\w* += "\w+Threshold"'), "alarm")
    yield _beyond_free("metrics of our own", 3 + terraform.count(r"^ *\w+ += \{ group = "), "metric")
    yield _beyond_free("dashboards", terraform.count(r'^resource "aws_cloudwatch_dashboard"'), "dashboard")
    yield _beyond_free("logs, GB", LOG_GB, "log GB")
    yield _times("between zones, GB", ZONE_GB, "GB between zones")


def _fargate(
    what: str, hours: float, vcpus: float, memory: float, architecture: str, capacity: str
) -> Line:
    cpu_price, memory_price = PRICES[f"{architecture} vCPU-hour"], PRICES[f"{architecture} GB-hour"]
    share = PRICES[capacity]
    how = f"{hours:.0f} h × ({vcpus:g} vCPU × {cpu_price} + {memory:g} GB × {memory_price}) × {share:g}"
    return Line(what, how, hours * (vcpus * cpu_price + memory * memory_price) * share)


def _times(what: str, quantity: float, price: str) -> Line:
    shown = f"{quantity:.3g}" if quantity < 1000 else f"{quantity:.0f}"
    return Line(what, f"{shown} × {PRICES[price]}", quantity * PRICES[price])


def _beyond_free(what: str, quantity: float, price: str) -> Line:
    paid = max(0.0, quantity - FREE[price])
    return Line(what, f"{quantity:g}, of which {FREE[price]} free, × {PRICES[price]}", paid * PRICES[price])


def _secrets(terraform: Terraform) -> int:
    listed = terraform.value("for_each", "resource", "aws_secretsmanager_secret", "twitch")
    return listed.count('"') // 2 + terraform.count(r'^ *source += "\./modules/drawn_secret"')


def _storage(terraform: Terraform) -> Iterator[Line]:
    hot = terraform.number(r"transition \{\s+days += (\d+)")
    # Expired objects stay as old versions for a while.
    kept = terraform.number(r'raw/snapshots/", days = (\d+)') + float(terraform.default("noncurrent_days"))
    raw = ROWS_A_DAY * RAW_BYTES * kept / GB
    curated = (ROWS_A_DAY * CURATED_BYTES + ANALYSIS_BYTES_A_DAY) / GB
    yield _times(f"raw snapshots of {kept:g} days, GB", raw, "S3 GB")
    yield _times(f"curated data of {hot:g} days, GB", curated * hot, "S3 GB")
    yield _times("older curated data, first year, GB", curated * (ARCHIVED_DAYS - hot), "Glacier IR GB")


def table(terraform: Terraform | None = None) -> str:
    """The table in Markdown, with its sum."""
    found = list(lines(terraform or Terraform()))
    rows = [f"| {line.what} | {line.how} | {line.dollars:.2f} |" for line in found]
    total = f"| **a month** | | **{sum(line.dollars for line in found):.2f}** |"
    return "\n".join(["| what | how | $ a month |", "| --- | --- | ---: |", *rows, total])


if __name__ == "__main__":
    print(table())
