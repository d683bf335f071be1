"""The one builder of snapshot records."""

from collector_service.contract import SnapshotRecord

_WATCHED = {
    "source": "live",
    "collector_id": "c1",
    "window_seconds": 300,
    "observed_seconds": 300.0,
    "partial": False,
}


def snapshot(channel_id: int, **fields) -> SnapshotRecord:
    """A record of channel ``c{channel_id}``, watched through a five-minute window unless fields differ."""
    return SnapshotRecord(**(_WATCHED | {"channel": f"c{channel_id}", "channel_id": channel_id} | fields))
