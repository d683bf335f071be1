"""Links from assets in the Dagster UI to the code that makes them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

import vieweratlas_dagster

_ROOT = Path(vieweratlas_dagster.__file__).parent.parent


def with_source_links(
    assets: Sequence[Any], git_url: str, git_branch: str, root: Path = _ROOT
) -> Sequence[Any]:
    """The assets with a link to the line where each begins.

    The link leads to the hosted repository if there is one. Otherwise it names the file, but only
    in a checkout: the path of an installed package, such as one in an image, opens nothing for the reader.

    Args:
        assets: the definitions.
        git_url: where the code is hosted; empty for nowhere.
        git_branch: its branch.
        root: the folder that contains the package.
    """
    if not git_url and not (root / "pyproject.toml").is_file():
        return assets
    with warnings.catch_warnings():
        # Links to source code are in beta; dagster is locked to the version that this was tested with.
        warnings.simplefilter("ignore", dg.BetaWarning)
        linked = dg.with_source_code_references(assets)
        if not git_url:
            return linked
        mapping = dg.AnchorBasedFilePathMapping(root, "")
        return dg.link_code_references_to_git(linked, git_url, git_branch, mapping)
