"""What was collected against what the simulator delivered: the property that every fault has to leave true.

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

    def twice(self) -> list[tuple]:
        """The records (channel id, window's start, part) that came more than once."""
        counts = Counter((record.channel_id, record.window_start, record.part) for record in self.records)
        return [name for name, number in counts.items() if number > 1]


@dataclass
class Allowed:
    """What a fault may take away.

    ``lost``: deliveries that may be missing (those of the seconds before a kill). ``unwatched``: stretches
    that the collector may leave out although it was joined. ``overstated``: stretches that it may claim
    although it was not joined any more. ``moved``: stretches in which the collector had the wrong time:
    among the windows that they touch, an event may stand in another one than its own.
    """

    lost: Truth = field(default_factory=Truth)
    unwatched: list[Interval] = field(default_factory=list)
    overstated: list[Interval] = field(default_factory=list)
    moved: list[Interval] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """A comparison in numbers: messages and presences, and channel-seconds.

    ``spared``: messages that might be lost but are there. ``edge_seconds``: the real seconds by which the
    begin or end of a joined stretch is off at most. ``errors`` says what broke the property; it holds when
    there are none.
    """

    messages: int
    lost: int
    invented: int
    spared: int
    watched_seconds: float
    edge_seconds: float
    errors: list[str]


def compare(
    simulator: Simulator, found: Collected, allowed: Allowed | None = None, tolerance: float = 1.0
) -> Verdict:
    """Whether what was collected equals what was delivered, and all gaps are declared.

    Args:
        simulator: its clock must have stopped, or nobody may be joined any more.
        found: what was collected.
        allowed: what may be missing.
        tolerance: real seconds by which each end of a joined stretch, taken by itself, may be off.
    """
    allowed = allowed or Allowed()
    truth = Truth.of(simulator)
    uncertain = _Uncertain(allowed.moved, simulator.options.window_seconds)
    due_messages = uncertain.placed(truth.messages - allowed.lost.messages)
    due_notices = uncertain.placed(truth.notices - allowed.lost.notices)
    counted = uncertain.placed(found.messages)
    lost = due_messages - counted
    invented = counted - uncertain.placed(truth.messages)
    due = set(+due_messages) | set(+due_notices)
    proven = set(uncertain.placed(dict.fromkeys(truth.presence, 1)))
    present = set(uncertain.placed(dict.fromkeys(found.presence, 1)))
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
    errors += _undeclared(simulator, found, truth, uncertain, tolerance)
    wrong = _wrong_pieces(found.covered, joined_stretches(simulator), allowed)
    rate = simulator.clock.rate
    errors += [
        piece.describe(simulator.world.start, rate) for piece in wrong if piece.seconds > tolerance * rate
    ]
    return Verdict(
        messages=sum(truth.messages.values()),
        lost=sum(lost.values()) + len(due - present),
        invented=sum(invented.values()) + len(present - proven),
        spared=sum(allowed.lost.messages.values()) - sum((truth.messages - found.messages).values()),
        watched_seconds=sum(length(stretches) for stretches in found.covered.values()),
        edge_seconds=max((piece.seconds for piece in wrong), default=0.0) / rate,
        errors=errors,
    )


class _Uncertain:
    """The windows among which events may have moved."""

    def __init__(self, moved: list[Interval], window_seconds: int) -> None:
        self._moved = moved
        self._seconds = window_seconds

    def __contains__(self, start: int) -> bool:
        return any(start < end and begin < start + self._seconds for begin, end in self._moved)

    def placed(self, counts: Mapping[tuple[int, int, int], int]) -> Counter:
        """The counts, with one place (-1) for all windows that are uncertain."""
        total = Counter()
        for (channel, viewer, start), number in counts.items():
            total[channel, viewer, -1 if start in self else start] += number
        return total


def joined_stretches(simulator: Simulator) -> dict[int, list[Interval]]:
    """When each channel was joined on at least one connection, by channel id."""
    joined = defaultdict(list)
    for channel, begin, end in simulator.oracle.joined():
        joined[channel].append((begin, end))
    return {channel: union(stretches) for channel, stretches in joined.items()}


def _undeclared(
    simulator: Simulator, found: Collected, truth: Truth, uncertain: _Uncertain, tolerance: float
) -> list[str]:
    """Windows that claim to be complete although something that happened in them is missing.

    On a busy machine a gap may be noticed late, and so stand just beyond the window's end. That is why any
    gap within ``tolerance`` of the window excuses it; whether that gap is the right one is for the edges.
    """
    counted = Counter()
    for (channel, _, start), number in found.messages.items():
        counted[channel, start] += number
    seconds, margin = simulator.options.window_seconds, tolerance * simulator.clock.rate
    wrong = [
        (channel, start)
        for (channel, start) in truth.happened - counted
        if start not in uncertain
        and not minus([(start - margin, start + seconds + margin)], found.covered.get(channel, []))
    ]
    return [f"windows without a declared gap: {len(wrong)}, for example {wrong[:3]}"] if wrong else []


@dataclass(frozen=True)
class _Piece:
    """A stretch in which a channel's coverage and the truth differ."""

    channel: int
    claimed: bool
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    def describe(self, origin: float, rate: float) -> str:
        text = "claimed but not joined" if self.claimed else "joined but not claimed"
        return (
            f"channel {self.channel} {text} {self.seconds:.1f} s ({self.seconds / rate:.2f} real): "
            f"from {self.begin - origin:.1f} to {self.end - origin:.1f}"
        )


def _wrong_pieces(
    covered: Mapping[int, list[Interval]], joined: Mapping[int, list[Interval]], allowed: Allowed
) -> list[_Piece]:
    """Where what is claimed differs from the truth, but for what is allowed."""
    pieces = []
    for channel in sorted(covered.keys() | joined.keys()):
        claims, truly = covered.get(channel, []), joined.get(channel, [])
        for claimed, wrong in (
            (True, minus(minus(claims, truly), allowed.overstated)),
            (False, minus(minus(truly, claims), allowed.unwatched)),
        ):
            pieces += [_Piece(channel, claimed, begin, end) for begin, end in wrong]
    return pieces
