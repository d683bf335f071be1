"""What `make setup` leaves out may be missing: the tests that need it are skipped, and the others run."""

import re
import subprocess
import sys

from tests.security.locks import ROOT

HIDDEN = """
import sys, pytest
sys.modules.update(pyspark=None, plotly=None)
sys.exit(pytest.main(sys.argv[1:]))
"""


def pytest_without_extras(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN, "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def test_the_tests_of_the_spark_engine_run_as_far_as_they_do_not_need_it():
    printed = pytest_without_extras(
        "tests/vieweratlas_dagster/spark", "-k", "overlap_job or submit or missing"
    )
    assert "test_overlap_job.py: pyspark is not installed: make .venv/spark" in re.sub(
        r":\d+:", ":", printed
    )
    assert re.search(r"^3 passed, 2 skipped", printed, re.MULTILINE), printed


def test_every_module_that_names_an_extra_is_collected_without_it():
    modules = [
        str(path)
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"\b(?:pyspark|plotly)\b", path.read_text())
    ]
    printed = pytest_without_extras("--collect-only", *modules)
    assert "plotly is not installed: make .venv/page-bench" in printed
    assert "test_nothing_known_ends_with_0" in printed
