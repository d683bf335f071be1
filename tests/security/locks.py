"""The lock files, as the tests read them."""

import json
import re
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infrastructure/dependencies/locks"
PYTHON_LOCKS = sorted(path.name for path in FOLDER.iterdir())
PAGE_LOCK = ROOT / "vieweratlas_dagster/viewer/package-lock.json"
PIN = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>.+?))?"
    r"(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)"
)


def hashes(lock):
    """{(name, version): SHA-256 of every file} of a Python lock; fails on a line of any other form."""
    found = {}
    for entry in (FOLDER / lock).read_text().replace(" \\\n   ", "").splitlines():
        pin = PIN.fullmatch(entry)
        assert pin, f"{lock}: {entry[:100]}"
        found[pin["name"], pin["version"]] = set(re.findall(r"sha256:(\w+)", pin["hashes"]))
    return found


def pins(lock):
    """{(name, version)} of a Python lock."""
    return set(hashes(lock))


def installed_here(lock):
    """{name} of a Python lock that this platform and this Python need."""
    entries = (FOLDER / lock).read_text().replace(" \\\n   ", "").splitlines()
    found = [PIN.fullmatch(entry) for entry in entries]
    return {pin["name"] for pin in found if not pin["marker"] or Marker(pin["marker"]).evaluate()}


def page_packages():
    """{folder below node_modules: entry} of the page's lock."""
    packages = json.loads(PAGE_LOCK.read_text())["packages"]
    return {folder: entry for folder, entry in packages.items() if folder}
