"""Dependencies: what is installed is what was locked, to the byte, and the lists of it are whole."""

import importlib.metadata
import json
import re
import subprocess

import pytest

from infrastructure.dependencies.audit import LOCKS
from tests.security.locks import FOLDER, PAGE_LOCK, PYTHON_LOCKS, ROOT, hashes, page_packages, pins

INSTALLERS = [
    ROOT / "Makefile",
    *sorted((ROOT / "infrastructure").rglob("*.sh")),
    *sorted((ROOT / "infrastructure/docker").glob("*.Dockerfile")),
]


@pytest.mark.parametrize("lock", PYTHON_LOCKS)
def test_every_locked_version_has_hashes_and_no_address(lock):
    assert all(hashes(lock).values())
    assert "://" not in (FOLDER / lock).read_text()


def test_versions_with_compiled_code_have_the_hashes_of_all_platforms():
    """An index that lists this platform's files alone would lock all others out."""
    locked = hashes("requirements.lock")
    compiled = set()
    for name, version in locked:
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if found.version == version and "-none-any" not in (found.read_text("WHEEL") or "-none-any"):
            compiled.add((name, version))
    assert {"numpy", "pydantic-core", "pyarrow"} <= {name for name, _ in compiled}
    # Linux on two processors, macOS, Windows.
    assert {pin for pin in compiled if len(locked[pin]) < 4} == set()


def commands():
    """Every command of the installers, with continued lines and the array of venv.sh put together."""
    for path in INSTALLERS:
        text = re.sub(r"\\\n\s*", " ", path.read_text())
        array = re.search(r"^install=\((.*)\)$", text, re.MULTILINE)
        if array:
            text = text.replace('"${install[@]}"', array[1]).replace(array[0], "")
        yield from (part for line in text.splitlines() for part in line.split("&&"))


def test_every_installation_wants_hashes_and_builds_with_what_is_locked():
    installations = [
        set(command.split()) for command in commands() if re.search(r"\bpip\b.* install ", command)
    ]
    from_locks = [words for words in installations if words & {"-r", "--requirement"}]
    # The environment and what builds it, Spark, Plotly; and in the images node, what builds, and each lock.
    assert len(from_locks) == 8
    for words in from_locks:
        assert {"--require-hashes", "--no-deps"} <= words, words
    for words in installations:
        if words not in from_locks and "uv" not in words:
            assert {"--no-build-isolation", "--no-deps", "."} <= words, words
    for words in installations:
        if words & {'"$locks/requirements.lock"', "/tmp/requirements-dagster.lock"}:
            assert "--no-build-isolation" in words, words


def test_the_pages_packages_have_checksums_and_are_installed_by_them():
    packages = page_packages()
    assert len(packages) > 50
    assert [name for name, entry in packages.items() if not entry["integrity"].startswith("sha512-")] == []
    assert "resolved" not in PAGE_LOCK.read_text()
    for path in INSTALLERS:
        assert not re.search(r"\bnpm(\.sh)? (install|i|add|update)\b", path.read_text()), path
    assert "npm.sh ci" in (ROOT / "Makefile").read_text()
    assert "RUN npm ci " in (ROOT / "infrastructure/docker/dagster.Dockerfile").read_text()


def test_the_sbom_lists_exactly_what_the_locks_pin(tmp_path):
    subprocess.run([ROOT / "infrastructure/dependencies/sbom.sh", tmp_path], check=True)
    listed = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert set(listed) == {lock.replace(".lock", ".cdx.json") for lock in PYTHON_LOCKS} | {
        "package-lock.cdx.json"
    }
    for lock in PYTHON_LOCKS:
        sbom = listed[lock.replace(".lock", ".cdx.json")]
        assert sbom["bomFormat"] == "CycloneDX"
        assert sbom["metadata"]["component"]["name"] == "vieweratlas"
        found = {
            (part["name"], part["version"]): {
                checksum["content"] for where in part["externalReferences"] for checksum in where["hashes"]
            }
            for part in sbom["components"]
        }
        assert found == hashes(lock)
        assert len(sbom["components"]) == len(found)
    page = [component["purl"] for component in listed["package-lock.cdx.json"]["components"]]
    assert sorted(page) == sorted(
        {
            f"pkg:npm/{folder.rpartition('node_modules/')[2].replace('@', '%40')}@{entry['version']}"
            for folder, entry in page_packages().items()
        }
    )


def test_every_locked_version_is_audited():
    for lock in ("requirements-collector.lock", "requirements-dagster.lock"):
        assert pins(lock) < pins("requirements.lock")
    others = [lock for lock in PYTHON_LOCKS if not pins(lock) <= pins("requirements.lock")]
    assert sorted(LOCKS) == sorted([*others, "requirements.lock"])
