"""`make lint` knows the security rules, over all that is shipped."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.security.locks import ROOT

SHIPPED = ("collector_service", "vieweratlas_dagster", "infrastructure")
EXCEPTION = re.compile(r"# noqa: ([A-Z0-9, ]+)(.*)")
PLANTED = '''"""Planted."""

import pickle
import ssl
import subprocess
import urllib.request

import yaml


def flaws(text: str) -> None:
    """Each line has one."""
    subprocess.run(text, shell=True, check=True)
    pickle.loads(text.encode())
    yaml.load(text, Loader=yaml.Loader)
    eval(text)
    urllib.request.urlopen(text)
    ssl._create_unverified_context()
'''


@pytest.mark.parametrize("package", SHIPPED)
def test_a_planted_flaw_is_found_in_every_package(package):
    done = subprocess.run(
        [
            Path(sys.executable).parent / "ruff",
            "check",
            "--output-format=concise",
            f"--stdin-filename={package}/planted.py",
            "-",
        ],
        input=PLANTED,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert {"S602", "S301", "S506", "S307", "S310", "S323"} <= set(re.findall(r"\bS\d+", done.stdout))


def test_every_exception_from_the_security_rules_says_why():
    seen = 0
    for package in SHIPPED:
        for path in (ROOT / package).rglob("*.py"):
            if "node_modules" in path.parts:
                continue
            for line in path.read_text().splitlines():
                found = EXCEPTION.search(line)
                if found and re.search(r"\bS\d{3}", found[1]):
                    seen += 1
                    assert re.fullmatch(r"- \w.+", found[2].strip()), f"{path}: {line}"
    assert seen > 5
