"""The status table, for machines and for people."""

import json

from collector_service.contract import ChannelStatus
from collector_service.live.status_table import Row, describe, encode


def test_the_status_table_says_what_is_wrong_and_with_which_channels():
    rows = [Row(f"c{number}", number, ChannelStatus.JOINED, 0.0) for number in range(3)]
    rows += [
        Row("lost", None, ChannelStatus.NOT_FOUND, 60.0),
        Row("away", None, ChannelStatus.RENAMED, 60.0, "here"),
    ]
    assert json.loads(encode(rows)) == [row.to_json() for row in rows]
    assert json.loads(encode([])) == []
    shown = describe([row.to_json() for row in rows]).splitlines()
    assert shown[0].split(":")[0].split() == ["3", "joined"]
    assert [line.split() for line in shown[-2:]] == [
        ["lost", "-", "not", "found", "1970-01-01T00:01:00Z"],
        ["away", "-", "renamed", "1970-01-01T00:01:00Z", "now", "here"],
    ]
    assert describe([]) == "no channel is wanted"
    assert "... and 300 more" in describe(
        [Row(str(n), n, ChannelStatus.JOINING, 0.0).to_json() for n in range(500)]
    )
