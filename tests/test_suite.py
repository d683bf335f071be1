"""The suite's own rules: planters stand in tests/worlds, and no test module imports another."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports, and every name that it takes from one, in full."""
    package = file.relative_to(TESTS.parent).parent.parts
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def test_no_test_module_is_imported():
    modules = {
        ".".join(file.relative_to(TESTS.parent).with_suffix("").parts) for file in TESTS.rglob("test_*.py")
    }
    assert len(modules) > 100
    found = {
        (str(file), name) for file in TESTS.rglob("*.py") for name in imported(file) if name in modules
    }
    assert not found


def test_snapshot_records_are_built_in_one_place():
    """The contract's own tests and the fuzzer's examples spell all fields out."""
    spelled_out = {"worlds/records.py", "collector_service/test_contract.py", "security/parsers.py"}
    builders = {
        str(file.relative_to(TESTS))
        for file in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "SnapshotRecord"
    }
    assert builders == spelled_out
