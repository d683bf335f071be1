"""In how many channels a person plausibly chats.

Belongs here: that one bound. It imports nothing, since every engine must judge alike, on a cluster
without this project's libraries too.
"""

FEWEST_PLAUSIBLE_CHANNELS = 10
PLAUSIBLE_SHARE = 0.05


def plausible_channels(channels: int, max_channels_per_viewer: int) -> int:
    """The most channels that a person is believed to chat in: min(cap, max(10, 5 % of the channels)).

    People's channel counts fall off steeply (in a real sample of 27,816 viewers of 57 channels, nine
    were in ten or more, one of them in 51), while chat bots are in a fixed share of all channels. So
    the limit grows with the number of channels, but never below ten, which an eager person reaches in
    a world of any size, nor above the cap: one viewer in k channels adds to k (k - 1) / 2 pairs, and
    beyond the cap a single account outweighs thousands of ordinary ones.
    """
    return min(max_channels_per_viewer, max(FEWEST_PLAUSIBLE_CHANNELS, int(PLAUSIBLE_SHARE * channels)))
