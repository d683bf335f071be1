"""Chat events as Twitch's IRC lines, with the tags that Twitch sends.

Lines carry their tags and no line ending; `without_tags` makes them fit for a client that did not ask
for tags. Tags stand in alphabetical order, as Twitch sends them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from collector_service.simulator.chat import ANONYMOUS, Event, Kind
from collector_service.simulator.vocabulary import ANONYMOUS_GIFTER
from collector_service.simulator.world import Account, Channel, Stream, World

_COLORS = ("#FF0000", "#0000FF", "#008000", "#B22222", "#FF7F50", "#9ACD32", "#1E90FF", "#8A2BE2", "")
_ID_MASK = (1 << 60) - 1
_ID_STEP = 0x9E3779B97F4A7C1  # odd, so n -> n * step is one-to-one modulo 2**60
_NOTICE_IDS = {
    Kind.SUB: "sub",
    Kind.RESUB: "resub",
    Kind.SUBGIFT: "subgift",
    Kind.MYSTERY_GIFT: "submysterygift",
    Kind.RAID: "raid",
    Kind.ANNOUNCEMENT: "announcement",
    Kind.MILESTONE: "viewermilestone",
}
_ANONYMOUS_ACCOUNT = Account(ANONYMOUS_GIFTER[2], ANONYMOUS_GIFTER[0], ANONYMOUS_GIFTER[1])


@dataclass(frozen=True, slots=True)
class Badges:
    """The badges of an account in a channel: the tags ``badges`` and ``badge-info``."""

    badges: str
    info: str

    @property
    def subscriber(self) -> int:
        """1 for a subscriber, as in the tag."""
        return int(self.info != "")

    @property
    def moderator(self) -> int:
        """1 for a moderator, as in the tag."""
        return int(self.badges.startswith("moderator/"))


def badges_of(world: World, account: int, channel: Channel) -> Badges:
    """The badges of an account in a channel; they never change."""
    if account == ANONYMOUS:
        return Badges("", "")
    if account == channel.owner:
        return Badges("broadcaster/1", "")
    person = world.accounts[account]
    if person.bot:
        return Badges("moderator/1,bot-badge/1" if person.listed else "", "")
    mixed = (account * 2_654_435_761 + channel.channel_id * 40_503) & 0xFFFFFFFF
    if mixed % 4 == 0:
        months = 1 + mixed // 4 % 40
        tier = max(step for step in (0, 2, 3, 6, 9, 12, 18, 24) if step <= months)
        return Badges(f"subscriber/{tier}", f"subscriber/{months}")
    return Badges({1: "moderator/1", 5: "vip/1", 9: "premium/1"}.get(mixed % 64, ""), "")


def color_of(account: int) -> str:
    """The account's name color, or empty."""
    return _COLORS[account % len(_COLORS)]


def without_tags(line: str) -> str:
    """The line without its tags."""
    return line.partition(" ")[2] if line.startswith("@") else line


class MessageIds:
    """UUID-shaped ids of a stream's events, by their number in the stream.

    Copies of a shared chat have ids of their own: ``copy_for`` is the receiving channel.
    """

    def __init__(self, world: World, stream: Stream, copy_for: Channel | None = None) -> None:
        place = "" if copy_for is None else copy_for.channel_id
        head = f"{Random(f'{world.options.seed}:id:{stream.index}:{place}').getrandbits(60):015x}"
        self._head = f"{head[:8]}-{head[8:12]}-4{head[12:]}-a"

    def __getitem__(self, number: int) -> str:
        tail = f"{(number + 1) * _ID_STEP & _ID_MASK:015x}"
        return f"{self._head}{tail[:3]}-{tail[3:]}"


class RoomLines:
    """Writes the events of one stream as lines, for its own room or for one that mirrors them."""

    def __init__(self, world: World, stream: Stream, mirror: Channel | None = None) -> None:
        self._world = world
        self._stream = stream
        self._source = world.channels[stream.channel]
        self._room = self._source if mirror is None else mirror
        self._login = self._room.login_at(stream.started_at)
        self._ids = MessageIds(world, stream, mirror)
        self._source_ids = MessageIds(world, stream)
        self._mirrored = mirror is not None
        self._texts = world.texts(self._source)
        # account -> what stands before the id, between id and time, and between time and text
        self._parts: dict[int, tuple[str, str, str]] = {}

    def write(self, events: Sequence[Event], first: int) -> list[str]:
        """The lines of consecutive events, the first of which is the stream's event number ``first``."""
        session = self._stream.session
        if session is not None:
            begin, end = session.started_at * 1_000, session.ended_at * 1_000
            return [
                self._shared(event, first + offset)
                if begin <= event.ms < end
                else self._line(event, first + offset)
                for offset, event in enumerate(events)
            ]
        lines, parts, texts, ids = [], self._parts, self._texts, self._ids
        message, choices = int(Kind.MESSAGE), len(self._texts)
        for number, event in enumerate(events, first):
            ms, kind, account, detail = event
            if kind == message:
                known = parts.get(account) or self._learn(account)
                head, middle, tail = known
                lines.append(f"{head}{ids[number]}{middle}{ms}{tail}{texts[detail % choices]}")
            else:
                lines.append(self._line(event, number))
        return lines

    def _line(self, event: Event, number: int, source: str = "") -> str:
        """Any line; ``source`` holds the tags that only shared chats have, in their place."""
        if event.kind == Kind.BAN:
            return self._ban(event)
        if event.kind != Kind.MESSAGE:
            return self._notice(event, number, source)
        head, middle, tail = self._parts.get(event.account) or self._learn(event.account)
        if source:
            middle = middle.replace(";subscriber=", f";{source}subscriber=", 1)
        text = self._texts[event.detail % len(self._texts)]
        return f"{head}{self._ids[number]}{middle}{event.ms}{tail}{text}"

    def _shared(self, event: Event, number: int) -> str:
        """A line during a shared-chat session: it names the room it comes from."""
        worn = badges_of(self._world, event.account, self._source)
        source = (
            f"source-badge-info={worn.info};source-badges={worn.badges};"
            f"source-id={self._source_ids[number]};"
        )
        if event.kind != Kind.MESSAGE and self._mirrored:
            source += f"source-msg-id={_NOTICE_IDS[Kind(event.kind)]};"
        if event.kind == Kind.MESSAGE:
            source += "source-only=0;"
        return self._line(event, number, source + f"source-room-id={self._source.channel_id};")

    def _person(self, account: int) -> Account:
        return _ANONYMOUS_ACCOUNT if account == ANONYMOUS else self._world.accounts[account]

    def _learn(self, account: int) -> tuple[str, str, str]:
        person = self._person(account)
        worn = badges_of(self._world, account, self._room)
        login = person.login
        head = (
            f"@badge-info={worn.info};badges={worn.badges};color={color_of(account)};"
            f"display-name={person.display_name};emotes=;first-msg=0;flags=;id="
        )
        middle = (
            f";mod={worn.moderator};returning-chatter=0;room-id={self._room.channel_id};"
            f"subscriber={worn.subscriber};tmi-sent-ts="
        )
        tail = (
            f";turbo=0;user-id={person.user_id};user-type= "
            f":{login}!{login}@{login}.tmi.twitch.tv PRIVMSG #{self._login} :"
        )
        self._parts[account] = head, middle, tail
        return head, middle, tail

    def _ban(self, event: Event) -> str:
        person = self._person(event.account)
        duration = f"ban-duration={event.detail};" if event.detail else ""
        return (
            f"@{duration}room-id={self._room.channel_id};target-user-id={person.user_id};"
            f"tmi-sent-ts={event.ms} :tmi.twitch.tv CLEARCHAT #{self._login} :{person.login}"
        )

    def _notice(self, event: Event, number: int, source: str) -> str:
        person = self._person(event.account)
        worn = badges_of(self._world, event.account, self._room)
        name = "sharedchatnotice" if self._mirrored else _NOTICE_IDS[Kind(event.kind)]
        params, system, text = self._notice_parts(event, person.display_name)
        return (
            f"@badge-info={worn.info};badges={worn.badges};color={color_of(event.account)};"
            f"display-name={person.display_name};emotes=;flags=;id={self._ids[number]};"
            f"login={person.login};mod={worn.moderator};msg-id={name};{params}"
            f"room-id={self._room.channel_id};{source}subscriber={worn.subscriber};"
            f"system-msg={_escape(system)};tmi-sent-ts={event.ms};user-id={person.user_id};user-type=;"
            f"vip=0 :tmi.twitch.tv USERNOTICE #{self._login}" + (f" :{text}" if text else "")
        )

    def _notice_parts(self, event: Event, name: str) -> tuple[str, str, str]:
        """The kind's own tags, its system message, and the user's text."""
        detail = event.detail
        plan = f"msg-param-sub-plan-name=Channel\\sSubscription\\s({self._source.login});"
        if event.kind in (Kind.SUB, Kind.RESUB):
            text = self._texts[detail % len(self._texts)] if event.kind == Kind.RESUB else ""
            params = (
                f"msg-param-cumulative-months={detail};msg-param-months=0;"
                f"msg-param-should-share-streak=0;{plan}msg-param-sub-plan=1000;msg-param-was-gifted=false;"
            )
            return params, f"{name} subscribed at Tier 1.", text
        if event.kind == Kind.SUBGIFT:
            lucky = self._world.accounts[detail]
            params = (
                "msg-param-gift-months=1;msg-param-months=1;"
                f"msg-param-recipient-display-name={lucky.display_name};"
                f"msg-param-recipient-id={lucky.user_id};msg-param-recipient-user-name={lucky.login};"
                f"msg-param-sender-count=0;{plan}msg-param-sub-plan=1000;"
            )
            return params, f"{name} gifted a Tier 1 sub to {lucky.display_name}!", ""
        if event.kind == Kind.MYSTERY_GIFT:
            params = f"msg-param-mass-gift-count={detail};msg-param-sender-count=0;msg-param-sub-plan=1000;"
            return params, f"{name} is gifting {detail} Tier 1 Subs to the community!", ""
        if event.kind == Kind.RAID:
            raider = self._person(event.account)
            params = (
                f"msg-param-displayName={raider.display_name};msg-param-login={raider.login};"
                f"msg-param-profileImageURL=;msg-param-viewerCount={detail};"
            )
            return params, f"{detail} raiders from {name} have joined!", ""
        if event.kind == Kind.MILESTONE:
            params = (
                f"msg-param-category=watch-streak;msg-param-copoReward=450;msg-param-id={event.ms};"
                f"msg-param-value={detail};"
            )
            return params, f"{name} watched {detail} consecutive streams and sparked a watch streak!", ""
        return "msg-param-color=PRIMARY;", "", self._texts[detail % len(self._texts)]


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(";", "\\:").replace(" ", "\\s")
