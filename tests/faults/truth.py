"""What was collected against what the simulator delivered: the property that every fault has to leave true.

Belongs here: reading both sides, and comparing them. Does not belong here: processes and faults.

Viewers are keyed by (channel id, viewer key, window start). Instants are world seconds.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from collector_service.contract import decode_lines, parse_record, viewer_key
from collector_service.simulator.server import Simulator

from .intervals import Interval, length, minus, union

SECRET = "the-viewer-key-secret-of-the-test"


@dataclass
class Truth:
    """What the simulator did, up to one moment: messages and proofs of presence without a message.

    ``happened`` counts messages by (channel id, window start), whether anybody heard them or not.
    """

    messages: Counter = field(default_factory=Counter)
    notices: Counter = field(default_factory=Counter)
    happened: Counter = field(default_factory=Counter)
    mirrored: int = 0

    @classmethod
    def of(cls, simulator: Simulator) -> "Truth":
        """The truth of now."""
        keys = {
            account.user_id: viewer_key(SECRET, str(account.user_id))
            for account in simulator.world.accounts
        }
        truth = cls(mirrored=simulator.oracle.totals()["mirrored_delivered"])
        for (channel, user, start), seen in simulator.oracle.presence().items():
            truth.messages[channel, keys[user], start] += seen.delivered
            truth.notices[channel, keys[user], start] += seen.notices_delivered
            truth.happened[channel, start] += seen.messages
        return truth

    @property
    def presence(self) -> set[tuple[int, int, int]]:
        """Who was proven present where and when."""
        return set(+self.messages) | set(+self.notices)

    def since(self, earlier: "Truth") -> "Truth":
        """What was delivered after an earlier moment."""
        return Truth(self.messages - earlier.messages, self.notices - earlier.notices)

    def __add__(self, other: "Truth") -> "Truth":
        return Truth(self.messages + other.messages, self.notices + other.notices)


class Collected:
    """What a lake holds. ``covered`` and ``windows`` are by channel id, ``statuses`` by login."""

    def __init__(self, objects: Iterable[bytes]) -> None:
        self.records = [parse_record(line) for data in objects for line in decode_lines(data)]
        self.messages = Counter()
        self.presence = set()
        self.mirrored = 0
        self.observed = Counter()
        self.statuses = defaultdict(set)
        covered = defaultdict(list)
        for record in self.records:
            start = int(record.window_start.timestamp())
            self.mirrored += record.mirrored_messages
            self.observed[record.channel_id] += record.observed_seconds
            self.statuses[record.channel].add(record.status)
            for key, number in zip(record.viewer_keys, record.viewer_messages, strict=True):
                self.presence.add((record.channel_id, key, start))
                self.messages[record.channel_id, key, start] += number
            assert record.observed_intervals is not None, f"{record.channel} at {record.window_start}"
            covered[record.channel_id] += [
                (start + begin, start + end) for begin, end in record.observed_intervals
            ]
        self.covered = {channel: union(stretches) for channel, stretches in covered.items()}


@dataclass
class Allowed:
    """What a fault may take away.

    ``lost``: deliveries that may be missing (those of the seconds before a kill). ``unwatched``: stretches
    that the collector may leave out although it was joined. ``overstated``: stretches that it may claim
    although it was not joined any more. ``moved``: events may stand in another window than their own.
    """

    lost: Truth = field(default_factory=Truth)
    unwatched: list[Interval] = field(default_factory=list)
    overstated: list[Interval] = field(default_factory=list)
    moved: bool = False


@dataclass(frozen=True)
class Verdict:
    """A comparison in numbers: messages and presences, and channel-seconds.

    ``spared``: messages that might be lost but are there. ``errors`` says what broke the property;
    it holds when there are none.
    """

    messages: int
    lost: int
    invented: int
    spared: int
    watched_seconds: float
    errors: list[str]


def compare(
    simulator: Simulator, found: Collected, allowed: Allowed | None = None, tolerance: float = 1.0
) -> Verdict:
    """Whether what was collected equals what was delivered, and all gaps are declared.

    Args:
        simulator: its clock must have stopped, or nobody may be joined any more.
        found: what was collected.
        allowed: what may be missing.
        tolerance: real seconds by which each end of a joined stretch may be off.
    """
    allowed = allowed or Allowed()
    truth = Truth.of(simulator)
    place = _without_window if allowed.moved else dict
    due_messages = Counter(place(truth.messages - allowed.lost.messages))
    due_notices = Counter(place(truth.notices - allowed.lost.notices))
    counted = Counter(place(found.messages))
    lost = due_messages - counted
    invented = counted - Counter(place(truth.messages))
    due = set(+due_messages) | set(+due_notices)
    proven = set(place(dict.fromkeys(truth.presence, 1)))
    present = set(place(dict.fromkeys(found.presence, 1)))
    errors = [
        f"{name}: {sum(counts.values())} messages, for example {counts.most_common(3)}"
        for name, counts in (("lost", lost), ("invented or doubled", invented))
        if counts
    ]
    errors += [
        f"presence {name}: {len(keys)}, for example {sorted(keys)[:3]}"
        for name, keys in (("lost", due - present), ("invented", present - proven))
        if keys
    ]
    if not allowed.moved:
        errors += _undeclared(simulator, found, truth, tolerance)
    joined = joined_stretches(simulator)
    errors += _coverage(simulator, found, joined, allowed, tolerance)
    return Verdict(
        messages=sum(truth.messages.values()),
        lost=sum(lost.values()) + len(due - present),
        invented=sum(invented.values()) + len(present - proven),
        spared=sum(allowed.lost.messages.values()) - sum((truth.messages - found.messages).values()),
        watched_seconds=sum(length(stretches) for stretches in found.covered.values()),
        errors=errors,
    )


def _without_window(counts: Mapping[tuple[int, int, int], int]) -> Counter:
    """The counts by channel and viewer alone."""
    total = Counter()
    for (channel, viewer, _), number in counts.items():
        total[channel, viewer] += number
    return total


def joined_stretches(simulator: Simulator) -> dict[int, list[Interval]]:
    """When each channel was joined on at least one connection, by channel id."""
    joined = defaultdict(list)
    for channel, begin, end in simulator.oracle.joined():
        joined[channel].append((begin, end))
    return {channel: union(stretches) for channel, stretches in joined.items()}


def _undeclared(simulator: Simulator, found: Collected, truth: Truth, tolerance: float) -> list[str]:
    """Windows that claim to be complete although something that happened in them is missing.

    On a busy machine a gap may be noticed late, and so stand just beyond the window's end.
    """
    counted = Counter()
    for (channel, _, start), number in found.messages.items():
        counted[channel, start] += number
    seconds, margin = simulator.options.window_seconds, tolerance * simulator.clock.rate
    wrong = [
        (channel, start)
        for (channel, start) in truth.happened - counted
        if not minus([(start - margin, start + seconds + margin)], found.covered.get(channel, []))
    ]
    return [f"windows without a declared gap: {len(wrong)}, for example {wrong[:3]}"] if wrong else []


def _coverage(
    simulator: Simulator,
    found: Collected,
    joined: dict[int, list[Interval]],
    allowed: Allowed,
    tolerance: float,
) -> list[str]:
    errors = []
    for channel in sorted(found.covered.keys() | joined.keys()):
        covered, truly = found.covered.get(channel, []), joined.get(channel, [])
        most = tolerance * simulator.clock.rate * 2 * max(1, len(truly))
        too_much = minus(minus(covered, truly), allowed.overstated)
        too_little = minus(minus(truly, covered), allowed.unwatched)
        for text, wrong in (
            ("claimed but not joined", too_much),
            ("joined but not claimed", too_little),
        ):
            if length(wrong) > most:
                relative = [
                    (round(begin - simulator.world.start, 1), round(end - simulator.world.start, 1))
                    for begin, end in wrong
                ]
                errors.append(
                    f"channel {channel} {text} {length(wrong):.1f} s (of {most:.1f}): {relative[:6]}"
                )
    return errors
