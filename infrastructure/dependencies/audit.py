"""Asks the public databases which locked versions have known vulnerabilities: `make audit`.

Ends with 0 when nothing is known, 1 when something is, 2 when a database could not be asked. pip-audit ends
with 0 too when it had to leave packages out, so its report is read, not its exit code.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "locks"
# requirements.lock holds what the locks of the images hold.
LOCKS = (
    "requirements.lock",
    "requirements-build.lock",
    "requirements-spark.lock",
    "requirements-page-bench.lock",
)
OSV = "https://api.osv.dev/v1/query"
LAST_WORDS = 300


class NotAskedError(Exception):
    """A database gave no whole answer; the text is the tool's own last words."""


def ask(command: list[str | Path]) -> dict[str, Any]:
    """The JSON report of a tool, whatever its exit code.

    Raises:
        NotAskedError: It printed none.
    """
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - ours alone
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise NotAskedError((done.stderr or done.stdout).strip()[-LAST_WORDS:]) from None
    if not isinstance(report, dict):
        raise NotAskedError(done.stdout.strip()[-LAST_WORDS:])
    return report


def rounds(locks: list[str]) -> list[str]:
    """All that the locks pin, for whichever Python and platform: files that name no library twice.

    pip-audit would leave out what is not for its own Python, and refuses two versions of one library.
    """
    versions: dict[str, list[str]] = {}
    for lock in locks:
        for name, version in re.findall(
            r"^([\w.-]+)==([^\s;]+)", (FOLDER / lock).read_text(), re.MULTILINE
        ):
            if version not in versions.setdefault(name, []):
                versions[name].append(version)
    return [
        "".join(f"{name}=={known[turn]}\n" for name, known in versions.items() if turn < len(known))
        for turn in range(max(map(len, versions.values())))
    ]


def python_findings(locks: list[str], osv_url: str) -> tuple[int, list[str]]:
    """How many distributions the locks pin, and a line for each known vulnerability.

    Raises:
        NotAskedError: About one of them, or all.
    """
    options = ["--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json"]
    service = ["--vulnerability-service", "osv", "--osv-url", osv_url]
    dependencies = []
    with TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        for pinned in rounds(locks):
            file.write_text(pinned)
            program = Path(sys.executable).parent / "pip-audit"
            answered = ask([program, *options, *service, "--requirement", file])["dependencies"]
            if len(answered) != len(pinned.splitlines()):
                raise NotAskedError(f"{len(answered)} answers about {len(pinned.splitlines())} libraries")
            dependencies += answered
    found = []
    for dependency in dependencies:
        if "skip_reason" in dependency:
            raise NotAskedError(dependency["skip_reason"])
        for known in dependency["vulns"]:
            mended = ", ".join(known["fix_versions"]) or "no version yet"
            found.append(f"{dependency['name']} {dependency['version']}: {known['id']}, mended in {mended}")
    return len(dependencies), found


def page_findings() -> tuple[int, list[str]]:
    """How many packages the page's lock pins, and a line for each that has a known vulnerability.

    Raises:
        NotAskedError: npm's registry has no audit, or was not reached.
    """
    report = ask(["bash", "infrastructure/setup/npm.sh", "audit", "--package-lock-only", "--json"])
    if "auditReportVersion" not in report:
        raise NotAskedError(str(report.get("message") or report)[-LAST_WORDS:])
    total = report["metadata"]["dependencies"]["total"]
    return total, [
        f"{name} {entry['range']}: {entry['severity']}"
        + "".join(f", {via['title']} ({via['url']})" for via in entry["via"] if isinstance(via, dict))
        for name, entry in sorted(report["vulnerabilities"].items())
    ]


def told(kind: str, findings: Callable[[], tuple[int, list[str]]]) -> int:
    """Prints what is known about one kind of dependencies; the exit code that this alone would have."""
    try:
        asked, found = findings()
    except NotAskedError as error:
        print(f"{kind}: NOT AUDITED, its database gave no answer. The tool says:\n  {error}")
        print("  Run `make audit` where the vulnerability database can be reached.")
        return 2
    print(f"{kind}: {asked} locked versions, {len(found)} known vulnerabilities")
    for line in found:
        print(f"  {line}")
    if found:
        print("  What to do: SECURITY.md, 'Dependencies'.")
    return 1 if found else 0


def main() -> int:
    """Audits both kinds, also when the first has findings; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--osv-url", default=OSV, help="the database for Python (default: %(default)s)")
    parser.add_argument("locks", nargs="*", default=LOCKS, help="lock files, by name (default: all)")
    options = parser.parse_args()
    codes = {
        told("Python", lambda: python_findings(list(options.locks), options.osv_url)),
        told("the page", page_findings),
    }
    return 1 if 1 in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
