"""A lake for the checks, and a good day in it."""

import pytest

from tests.worlds.checked_day import put_good_day
from vieweratlas_dagster.resources.lake_resource import LakeResource


@pytest.fixture
def resource(tmp_path):
    """An empty lake on a folder, as the checks get it."""
    return LakeResource(type="file", dir=str(tmp_path / "lake"))


@pytest.fixture
def made(resource):
    """A good day in the lake: curated tables, graph and atlas."""
    return put_good_day(resource.lake)
