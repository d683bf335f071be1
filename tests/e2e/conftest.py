"""One finished demo, shared by the tests that look at what it left behind."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import VIEWERATLAS
from tests.security.planted import PLANTED, watched_command_lines

# In the names of all viewers and in all messages.
MARK = "qzxj0wvk"


@dataclass(frozen=True)
class FinishedDemo:
    """A demo's folder, its report, what it printed, and all command lines of the machine meanwhile."""

    folder: Path
    report: dict[str, Any]
    output: str
    command_lines: set[bytes]

    @property
    def oracle_folder(self) -> Path:
        """What the simulator knows."""
        return self.folder / "oracle"


@pytest.fixture(scope="session")
def finished_demo(tmp_path_factory: pytest.TempPathFactory) -> FinishedDemo:
    """`vieweratlas demo` on a small world: two days, 80 channels, 5,000 viewers, all of them marked.

    Its environment holds planted secrets.
    """
    folder = tmp_path_factory.mktemp("demo") / "data"
    arguments = ["--seed", "3", "--channels", "80", "--viewers", "5000", "--days", "2", "--mark", MARK]
    with watched_command_lines() as lines:
        done = subprocess.run(
            [VIEWERATLAS, "demo", *arguments, "--data-dir", str(folder)],
            env=os.environ | PLANTED,
            capture_output=True,
            text=True,
            timeout=570,
            check=False,
        )
    logs = "".join(path.read_text()[-3000:] for path in sorted((folder / "logs").glob("*.log")))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return FinishedDemo(folder, json.loads((folder / "report.json").read_text()), done.stdout, lines)
