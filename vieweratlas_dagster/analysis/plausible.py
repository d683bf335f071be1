"""How many channels, and how many windows, a person plausibly chats in.

Imports nothing: every engine must judge alike, and a Spark cluster has no other module of this project.
"""

from __future__ import annotations

FEWEST_PLAUSIBLE_CHANNELS = 10
PLAUSIBLE_SHARE = 0.05
# A marathon of 24 hours in this many days leaves 15 hours for each other day until the average is 18.
FEWEST_JUDGED_DAYS = 3
# One message in a longer window does not show presence throughout it.
LONGEST_JUDGED_WINDOW = 3600


def plausible_channels(channels: int, max_channels_per_viewer: int) -> int:
    """The most channels that a person is believed to chat in: min(cap, max(10, 5 % of the channels)).

    People's channel counts fall off steeply (in a real sample of 27,816 viewers of 57 channels, nine
    were in ten or more, one of them in 51), while chat bots are in a fixed share of all channels. So
    the limit grows with the number of channels, but never below ten, which an eager person reaches in
    a world of any size, nor above the cap: one viewer in k channels adds to k (k - 1) / 2 pairs, and
    beyond the cap a single account outweighs thousands of ordinary ones.
    """
    return min(max_channels_per_viewer, max(FEWEST_PLAUSIBLE_CHANNELS, int(PLAUSIBLE_SHARE * channels)))


def plausible_windows(days: int, window_seconds: int | None, max_hours_per_day: int) -> int | None:
    """The most windows of one channel in which a person is believed to be present over several days.

    They last ``max_hours_per_day`` on average, since a person sleeps. None means no bound:
    fewer days than three could be one marathon, windows longer than an hour or of unknown length do not
    show how long a viewer was present, and 24 hours a day exclude no viewer.

    Args:
        days: days with data.
        window_seconds: length of the windows; None when unknown.
        max_hours_per_day: hours of an average day, at least 1.
    """
    if max_hours_per_day >= 24 or days < FEWEST_JUDGED_DAYS:
        return None
    if window_seconds is None or window_seconds > LONGEST_JUDGED_WINDOW:
        return None
    return max_hours_per_day * 3600 * days // window_seconds
