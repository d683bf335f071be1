"""The documentation: what it refers to exists."""

import ast
import re
from pathlib import Path

import pytest

from collector_service.privacy.opt_outs import OPT_OUTS_KEY
from collector_service.privacy.populations import KEY_RECORD
from tests.faults.scenarios import SCENARIOS
from vieweratlas_dagster.automation.retention import days_kept
from vieweratlas_dagster.cli import app
from vieweratlas_dagster.forgetting.ledger import JOBS_PREFIX, LEDGER_PREFIX
from vieweratlas_dagster.forgetting.rewriting import CURATED_PREFIXES
from vieweratlas_dagster.lake.keys import ANALYSIS_PREFIX, MANIFESTS_PREFIX
from vieweratlas_dagster.settings import RetentionSettings, Settings

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")])
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


POLICY = (ROOT / "docs/DATA_POLICY.md").read_text()


def test_the_data_policy_names_every_place_that_holds_people_with_the_rule_that_is_enforced():
    rows = {
        place: [cell.strip() for cell in line.split("|")[1:-1]]
        for line in POLICY.splitlines()
        if line.startswith("| ")
        for place in re.findall(r"`([\w/.]+)`", line.split("|")[1])
    }
    for prefix, days in days_kept(RetentionSettings()).items():
        assert rows[prefix][2] == f"{days} days"
    for prefix in (*CURATED_PREFIXES, ANALYSIS_PREFIX):
        assert rows[prefix][2] == "as long as you decide"
    for key in (OPT_OUTS_KEY, KEY_RECORD, LEDGER_PREFIX, JOBS_PREFIX, MANIFESTS_PREFIX):
        assert key in rows


def test_the_data_policy_names_commands_and_settings_that_exist():
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    named = set(re.findall(r"`vieweratlas ([\w-]+)", POLICY))
    assert {"forget", "rotate-key", "retention", "doctor"} <= named <= commands
    settings = Settings()
    for section, key in re.findall(r"`(privacy|analysis|collection|retention|vod)\.(\w+)`", POLICY):
        assert hasattr(getattr(settings, section), key), f"{section}.{key}"
    assert f"(default {settings.privacy.min_shared_published})" in POLICY
    assert f"(default {settings.analysis.min_channel_viewers})" in POLICY
