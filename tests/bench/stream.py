"""The stream of chat lines that the collector and its rival are fed, drawn from a seed.

The channels' shares follow Zipf's law, and each channel has about as many viewers as messages, so that
nearly two thirds of the messages bring a new (channel, viewer) pair. The lines carry the tags of
``collector_service.simulator.lines``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHANNELS = 5_000
LOGINS = [f"bench_channel_{number:04d}" for number in range(CHANNELS)]
ROOM_IDS = [10_000_000 + number for number in range(CHANNELS)]

_FIRST_USER = 100_000_000
_PEOPLE = 600_000
_ZIPF = 0.8
_COLORS = ("#FF0000", "#0000FF", "#008000", "#B22222", "#FF7F50", "#9ACD32", "#1E90FF", "#8A2BE2", "")
# badge-info, badges, mod, subscriber
_BADGES = (
    ("subscriber/14", "subscriber/12", 0, 1),
    ("", "", 0, 0),
    ("subscriber/3", "subscriber/3,premium/1", 0, 1),
    ("", "premium/1", 0, 0),
    ("subscriber/31", "moderator/1,subscriber/24", 1, 1),
    ("", "", 0, 0),
    ("", "", 0, 0),
)
_TEXTS = (
    "lol",
    "gg",
    "hi chat",
    "LUL LUL LUL",
    "that was close",
    "what a play, nobody saw that coming",
    "how long have you been live?",
    "NotLikeThis NotLikeThis NotLikeThis",
    "@chatty_person_7 I think it was the second door on the left, behind the waterfall",
    "jajaja qué cerca estuvo",
    "салют всем, рад вас видеть",
    "can we have the clip of that in the discord later? I missed the beginning of the fight",
    "🎉🎉🎉",
    "no way, I had exactly the same thing yesterday: two hours of looking for that key",
    "if you go back now you can still get the blue one, before the bridge is gone",
    "KEKW " * 60 + "KEKW",
    "does anybody remember that stream with the three bosses and no healing? " * 5 + "please",
)


@dataclass(frozen=True)
class Messages:
    """Who says something, in order: numbers of channels and of people, as parallel arrays."""

    channels: NDArray[np.int64]
    people: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.channels)

    def only(self, channels: NDArray[np.bool_]) -> Messages:
        """The messages of some channels, given as a mask over all channels."""
        mine = channels[self.channels]
        return Messages(self.channels[mine], self.people[mine])

    @property
    def by_channel(self) -> dict[str, int]:
        """How many messages each channel gets, by login; channels without any are left out."""
        counts = np.bincount(self.channels, minlength=CHANNELS).tolist()
        return {login: count for login, count in zip(LOGINS, counts, strict=True) if count}

    @property
    def pairs(self) -> int:
        """Distinct (channel, viewer) pairs."""
        return len(np.unique(self.channels * _PEOPLE + self.people))


def draw(count: int, seed: int) -> Messages:
    """``count`` messages; the same seed gives the same."""
    rng = np.random.default_rng(seed)
    # Shuffled, for otherwise the first connection would get most of the traffic.
    shares = rng.permutation(np.arange(1, CHANNELS + 1, dtype=float) ** -_ZIPF)
    shares /= shares.sum()
    channels = rng.choice(CHANNELS, size=count, p=shares)
    viewers = np.maximum(1, shares * count).astype(np.int64)
    first = rng.integers(_PEOPLE, size=CHANNELS)
    drawn = (rng.random(count) * viewers[channels]).astype(np.int64)
    return Messages(channels, (first[channels] + drawn) % _PEOPLE)


def lines(messages: Messages, begin: int, end: int, sender: int, sent_ms: int) -> list[str]:
    """Messages ``begin`` to ``end`` as lines without line endings.

    Args:
        messages: the messages.
        begin: the first one's number.
        end: the number behind the last one's.
        sender: the connection that carries them; with the message's number it makes the id unique.
        sent_ms: the time they carry, in ms since 1970.
    """
    made = []
    head = f"{sender:08x}-c0de-4000-a000-"
    spoken = zip(messages.channels[begin:end].tolist(), messages.people[begin:end].tolist(), strict=True)
    for number, (channel, person) in enumerate(spoken, begin):
        info, badges, mod, subscriber = _BADGES[person % 7]
        login = f"chatty_person_{person}"
        made.append(
            f"@badge-info={info};badges={badges};color={_COLORS[person % 9]};"
            f"display-name=Chatty_Person_{person};emotes=;first-msg=0;flags=;id={head}{number:012x};"
            f"mod={mod};returning-chatter=0;room-id={ROOM_IDS[channel]};subscriber={subscriber};"
            f"tmi-sent-ts={sent_ms};turbo=0;user-id={_FIRST_USER + person};user-type= "
            f":{login}!{login}@{login}.tmi.twitch.tv PRIVMSG #{LOGINS[channel]} "
            f":{_TEXTS[number % len(_TEXTS)]}"
        )
    return made
