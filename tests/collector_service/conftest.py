"""Which tests run in virtual time."""

import asyncio

from tests.collector_service.virtual_time import VirtualTimeLoop


def pytest_configure(config):
    """Register the marker."""
    config.addinivalue_line("markers", "virtual_time: time jumps to the next timer")


def pytest_asyncio_loop_factories(config, item):
    """The event loop of a test."""
    if item.get_closest_marker("virtual_time"):
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.new_event_loop}
