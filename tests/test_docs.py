"""The documentation: what it refers to exists."""

import ast
import re
from pathlib import Path

import pytest

from tests.faults.test_faults import SCENARIOS

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
TEST = re.compile(r"`(tests/[\w/.]+\.py)::(\w+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_and_file_that_is_named_exists(page):
    text = page.read_text()
    for file, name in TEST.findall(text):
        functions = {
            node.name
            for node in ast.walk(ast.parse((ROOT / file).read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in functions, f"{file}::{name}"
    for target, _ in LINK.findall(text):
        assert (page.parent / target).exists(), target


def test_every_fault_of_the_matrix_is_on_the_collectors_page():
    text = (ROOT / "docs/COLLECTOR.md").read_text()
    section = text.partition("## The faults that are played")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert {name for row in rows for name in re.findall(r"`([\w-]+)`", row.split("|")[-2])} == set(
        SCENARIOS
    )
