"""The short version of ``make fuzz``: every parser gets its samples, all bombs, some damaged samples."""

import re
import subprocess
import sys
from pathlib import Path


def run(*arguments):
    command = [sys.executable, "-m", "tests.security.fuzz", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=400)


def test_no_parser_fails_on_hostile_input():
    done = run("--seconds", "8")
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no parser failed" in done.stdout
    inputs, parsers = map(int, re.search(r"(\d+) inputs for (\d+) parsers", done.stdout).groups())
    assert parsers >= 35
    assert inputs >= 20 * parsers


def test_a_failure_is_told_with_its_input(tmp_path, monkeypatch, capsys):
    """What the program is for: a parser that raises, one that hangs, one that takes memory."""
    from tests.security import fuzz
    from tests.security.parsers import Parser

    def raises(data):
        if b"boom" in data:
            raise KeyError("boom")

    def hangs(_):
        deadline = fuzz.time.thread_time() + 0.3
        while fuzz.time.thread_time() < deadline:
            pass

    kept = []

    def grows(_):
        kept.append(b"x" * (200 * 1024 * 1024))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fuzz, "HANGS_SECONDS", 0.2)
    failures = []
    for name, parse, data in (("raises", raises, b"boom"), ("hangs", hangs, b"h"), ("grows", grows, b"g")):
        parser = Parser(name, "binary", list, lambda _: None, (), memory_mb=20)
        fuzz._try(
            parser, parse, iter([b"good" if name == "raises" else data, data]), 1.0, tmp_path, failures
        )
    kinds = [re.sub(r"[\d.]+ ", "N ", failure.split(";")[0]) for failure in failures]
    assert kinds[0].startswith("raises: KeyError in test_fuzz.py:")
    assert "hangs: took N s" in kinds
    assert any(kind.startswith("grows: memory grew by N MB, more than") for kind in kinds)
    path = Path(failures[0].rpartition("kept: ")[2])
    assert path.read_bytes() == b"boom"
