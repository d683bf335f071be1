"""Shares of windows whose content is known."""

from collector_service.clock import utc
from collector_service.live.windows import StreamInfo, WindowShare
from collector_service.twitch.irc import MESSAGE, MIRRORED, PRESENCE

START = 1_700_000_100 // 300 * 300


def a_share(sequence=0):
    share = WindowShare(START, 300, sequence, partial=True)
    share.stream_infos = {7: StreamInfo(5, "33", "Chess", "en", "a title", utc(START - 60))}
    return share


def fill(share, step):
    """One of several deterministic changes."""
    share.joined(7, "seven", START + step)
    share.tally(8, "eight")
    share.count(7, MESSAGE, 2**64 - 1 - step % 3, step % 2 == 0)
    share.count(8, PRESENCE, step, False)
    share.count(8, MIRRORED, 0, False)
    if step % 3 == 2:
        share.left(7, START + step + 0.5)
