"""Growing a world from its seed.

Every entity draws from its own ``random.Random``, seeded by the world's seed and the entity's number, so
the same options give the same world to the last bit.
"""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate, pairwise
from math import log
from random import Random

from collector_service.simulator.vocabulary import (
    GAMES,
    JUST_CHATTING,
    LANGUAGES,
    LISTED_BOTS,
    UNLISTED_BOTS,
    Game,
    titles,
    unique_names,
)
from collector_service.simulator.world import (
    DAY,
    Account,
    Channel,
    Oddities,
    SharedSession,
    Stream,
    World,
    WorldOptions,
)

_HOUR = 3_600
# Two streams of one channel are further apart than the longest window (settings allow an hour), so no
# window holds two of them.
_STREAM_GAP = 4_200
_SHORTEST_STREAM = 1_800
_ONE_TIMERS = 0.12
_CROSSERS = 0.31
_WITHIN_LANGUAGE = 0.85
_GIANT_FOLLOWERS = 0.15
_DELETED = 0.005
_RAIDS = 0.3


def plant(options: WorldOptions) -> World:
    """Grow a world from its seed."""
    return _Planter(options).plant()


class _Planter:
    def __init__(self, options: WorldOptions) -> None:
        self.options = options
        self.rng = Random(f"{options.seed}:world")
        self.start = options.start
        self.end = options.start + options.days * DAY
        self.names: set[str] = {*LISTED_BOTS, *UNLISTED_BOTS}
        bots = len(self.names)
        # Some ids more than needed, for the suspended account.
        self.ids = self.rng.sample(
            range(20_000_000, 1_200_000_000), options.viewers + bots + options.channels + 1
        )
        self.channels: list[Channel] = []
        self.members: list[list[int]] = []
        self.region_of: list[int] = []
        self.streams: list[Stream] = []
        # (channel, day) -> stream
        self.schedule: dict[tuple[int, int], Stream] = {}

    def plant(self) -> World:
        self._plant_channels()
        self._plant_streams()
        self._plant_visits()
        self._plant_bots()
        self._plant_raids()
        sessions = self._plant_sessions()
        oddities = self._plant_oddities() if self.options.oddities else None
        return World(self.options, self._accounts(), self.channels, self.streams, sessions, oddities)

    # Channels -----------------------------------------------------------------------------------

    def _plant_channels(self) -> None:
        rng, total = self.rng, self.options.channels
        regions = min(len(LANGUAGES) - 2, max(2, total // 36)) if total >= 12 else 1
        communities = regions * max(1, round(total / (13 * regions)))
        self.region_of = sorted(community % regions for community in range(communities))
        bounds = _split(rng, total, communities)
        games: list[Game] = []
        previous_region = -1
        for community, (first, last) in enumerate(pairwise(bounds)):
            region = self.region_of[community]
            if region != previous_region:
                games, previous_region = rng.sample(GAMES, len(GAMES)), region
            main = None if community % 4 == 3 else games.pop()
            size = rng.uniform(0.7, 1.4)
            self.members.append(list(range(first, last)))
            for rank, login in enumerate(unique_names(rng, last - first, self.names)):
                self._plant_channel(login, community, main, size / (rank + 1) ** 1.25)
        # Of different communities, as far as there are enough.
        giants = max(1, total // 100) if total >= 20 else 0
        for community in rng.sample(range(communities), min(giants, communities)):
            giant = self.channels[self.members[community][0]]
            giant.giant = True
            giant.weight *= 1.5

    def _plant_channel(self, login: str, community: int, main: Game | None, weight: float) -> None:
        rng, number = self.rng, len(self.channels)
        if main is None:
            game = rng.choice((*GAMES, JUST_CHATTING, JUST_CHATTING, JUST_CHATTING))
        else:
            game = main if rng.random() < 0.88 else rng.choice((JUST_CHATTING, *GAMES))
        owner = self.options.viewers + len(LISTED_BOTS) + len(UNLISTED_BOTS) + number
        region = self.region_of[community]
        language = LANGUAGES[region]
        self.channels.append(
            Channel(
                channel_id=self.ids[owner],
                owner=owner,
                login=login,
                display_name=_display_name(rng, login),
                game=game,
                language=language.code,
                utc_offset=language.utc_offset,
                community=community,
                region=region,
                weight=weight,
            )
        )

    # Streams ------------------------------------------------------------------------------------

    def _plant_streams(self) -> None:
        drafts: list[tuple[int, int, int, int]] = []
        for number, channel in enumerate(self.channels):
            rng = Random(f"{self.options.seed}:streams:{number}")
            usual_start = rng.gauss(18.5, 2.0) * _HOUR
            habit = rng.uniform(0.7, 1.0)
            own: list[tuple[int, int, int, int]] = []
            # From the day before: streams that are running when the world begins.
            for day in range(-1, self.options.days):
                local = self.start + day * DAY + usual_start + rng.gauss(0.0, 0.5) * _HOUR
                duration = min(11.0, max(1.5, rng.lognormvariate(1.4, 0.35))) * _HOUR
                begin, end = (
                    local - channel.utc_offset * _HOUR,
                    local - channel.utc_offset * _HOUR + duration,
                )
                if rng.random() < habit:
                    self._draft(own, rng, number, day, begin, end)
            if not own:
                begin = self.start + rng.uniform(0.1, 0.6) * DAY
                self._draft(own, rng, number, 0, begin, begin + 4 * _HOUR)
            drafts += own
        drafts.sort(key=lambda draft: (draft[2], draft[0]))
        for index, (number, day, begin, end) in enumerate(drafts):
            rng = Random(f"{self.options.seed}:stream:{index}")
            stream = Stream(
                index=index,
                channel=number,
                day=day,
                started_at=begin,
                ended_at=end,
                stream_id=str(40_000_000_000 + index * 1_009 + rng.randrange(1_000)),
                video_id=str(2_300_000_000 + index * 101 + rng.randrange(100)),
                title=rng.choice(titles(self.channels[number].language)),
            )
            self.streams.append(stream)
            self.schedule[number, day] = stream

    def _draft(
        self,
        own: list[tuple[int, int, int, int]],
        rng: Random,
        number: int,
        day: int,
        begin: float,
        end: float,
    ) -> None:
        """Add a stream, cut to the world's time and kept apart from the one before, if enough is left."""
        begin = max(begin, self.start + rng.uniform(30, 600))
        if own:
            begin = max(begin, own[-1][3] + _STREAM_GAP)
        end = min(end, self.end - rng.uniform(30, 300))
        if end - begin >= _SHORTEST_STREAM:
            own.append((number, day, int(begin), int(end)))

    # Visits -------------------------------------------------------------------------------------

    def _plant_visits(self) -> None:
        rng = self.rng
        weights = [self.channels[number].weight for number in range(len(self.channels))]
        self.cumulated = [list(accumulate(weights[number] for number in group)) for group in self.members]
        self.siblings = [
            [
                sibling
                for sibling, region in enumerate(self.region_of)
                if region == own and sibling != community
            ]
            for community, own in enumerate(self.region_of)
        ]
        self.strangers = [
            [far for far, region in enumerate(self.region_of) if region != own] for own in self.region_of
        ]
        self.giants = [number for number, channel in enumerate(self.channels) if channel.giant]
        homes = list(accumulate(len(group) * rng.uniform(0.8, 1.25) for group in self.members))
        days_of: list[list[int]] = [[] for _ in self.channels]
        for stream in self.streams:
            days_of[stream.channel].append(stream.day)
        for viewer in range(self.options.viewers):
            draw = Random(self.options.seed * 1_000_003 + viewer)
            home = bisect(homes, draw.random() * homes[-1])
            if draw.random() < _ONE_TIMERS:
                channel = self._pick(draw, home)
                day = draw.choice(days_of[channel])
                self._visit(draw, viewer, self.schedule[channel, day], once=True)
                continue
            self._visit_days(draw, viewer, self._follows(draw, home))

    def _pick(self, draw: Random, community: int) -> int:
        cumulated = self.cumulated[community]
        return self.members[community][bisect(cumulated, draw.random() * cumulated[-1])]

    def _follows(self, draw: Random, home: int) -> list[int]:
        wanted = min(3 + int(draw.expovariate(1 / 3.0)), len(self.members[home]))
        follows: dict[int, None] = {}
        for _ in range(4 * wanted):
            follows[self._pick(draw, home)] = None
            if len(follows) == wanted:
                break
        if draw.random() < _CROSSERS:
            near = draw.random() < _WITHIN_LANGUAGE
            others = self.siblings[home] if near else self.strangers[home]
            if others:
                follows[self._pick(draw, draw.choice(others))] = None
        for giant in self.giants:
            if draw.random() < _GIANT_FOLLOWERS:
                follows[giant] = None
        return list(follows)

    def _visit_days(self, draw: Random, viewer: int, follows: list[int]) -> None:
        activity = draw.uniform(0.5, 1.0)
        for day in range(-1, self.options.days):
            if draw.random() >= activity:
                continue
            live = [number for number in follows if (number, day) in self.schedule]
            wanted = 1 + int(draw.expovariate(1 / 2.2))
            if wanted < len(live):
                live = draw.sample(live, wanted)
            for number in live:
                self._visit(draw, viewer, self.schedule[number, day])

    def _visit(self, draw: Random, viewer: int, stream: Stream, *, once: bool = False) -> None:
        length = stream.ended_at - stream.started_at
        begin = stream.started_at + draw.random() ** 1.3 * 0.9 * length
        end = min(stream.ended_at, begin + 120.0 - 3_000.0 * log(1.0 - draw.random()))
        messages = 1 if once or draw.random() < 0.3 else 2 + int(draw.expovariate(1 / 7.5))
        stream.visits.append((viewer, begin, end, messages))

    def _plant_bots(self) -> None:
        for number in range(len(LISTED_BOTS) + len(UNLISTED_BOTS)):
            rng = Random(f"{self.options.seed}:bot:{number}")
            coverage = rng.uniform(0.72, 0.96)
            served = {channel for channel in range(len(self.channels)) if rng.random() < coverage}
            for stream in self.streams:
                if stream.channel in served:
                    length = stream.ended_at - stream.started_at
                    messages = 1 + int(length / (rng.uniform(18, 45) * 60))
                    account = self.options.viewers + number
                    stream.visits.append((account, stream.started_at, stream.ended_at, messages))

    # Raids, shared chats, oddities ----------------------------------------------------------------

    def _plant_raids(self) -> None:
        by_community: dict[int, list[Stream]] = {}
        for stream in self.streams:
            by_community.setdefault(self.channels[stream.channel].community, []).append(stream)
        for stream in self.streams:
            rng = Random(f"{self.options.seed}:raid:{stream.index}")
            arrival = stream.ended_at + 20.0
            targets = [
                target
                for target in by_community[self.channels[stream.channel].community]
                if target.started_at < arrival < target.ended_at - 900 and target is not stream
            ]
            if not targets or rng.random() >= _RAIDS:
                continue
            target = rng.choice(targets)
            late = [
                visit[0]
                for visit in stream.visits
                if visit[2] > stream.ended_at - 1_200 and visit[0] < self.options.viewers
            ]
            if not late:
                continue
            target.raids.append((arrival, stream.channel, len(late) * 4))
            for viewer in rng.sample(late, (len(late) + 2) // 3):
                stay = min(target.ended_at, arrival + rng.uniform(60, 1_500))
                target.visits.append((viewer, arrival + 2.0, stay, rng.randint(1, 4)))

    def _plant_sessions(self) -> list[SharedSession]:
        """One shared chat in about two days, of two or three streams of a community."""
        rng = self.rng
        sessions: list[SharedSession] = []
        wanted = (self.options.days + 1) // 2
        for stream in rng.sample(self.streams, len(self.streams)):
            if len(sessions) == wanted:
                break
            partners = [
                partner
                for partner in self.streams
                if partner.session is None
                and partner.channel != stream.channel
                and self.channels[partner.channel].community == self.channels[stream.channel].community
                and min(partner.ended_at, stream.ended_at) - max(partner.started_at, stream.started_at)
                > 2 * _HOUR
            ]
            if stream.session is not None or not partners:
                continue
            group = [stream, *rng.sample(partners, min(len(partners), rng.randint(1, 2)))]
            begin = max(member.started_at for member in group)
            end = min(member.ended_at for member in group)
            if end - begin < _HOUR or len({member.channel for member in group}) < len(group):
                continue
            session = SharedSession(
                tuple(member.index for member in group),
                begin + 0.2 * (end - begin),
                end - 0.2 * (end - begin),
            )
            for member in group:
                member.session = session
            sessions.append(session)
        return sessions

    def _plant_oddities(self) -> Oddities:
        """A suspended and a nonexistent login, and a channel renamed after its first stream."""
        suspended, nonexistent, new = unique_names(self.rng, 3, self.names)
        own: dict[int, list[Stream]] = {}
        for stream in self.streams:
            own.setdefault(stream.channel, []).append(stream)
        number = max(own, key=lambda channel: (len(own[channel]) > 1, -channel))
        channel = self.channels[number]
        channel.renamed_to = new
        channel.renamed_at = own[number][0].ended_at + _STREAM_GAP / 2
        return Oddities(suspended, nonexistent, (channel.login, new, channel.renamed_at))

    # Accounts -----------------------------------------------------------------------------------

    def _accounts(self) -> list[Account]:
        rng = Random(f"{self.options.seed}:accounts")
        names = unique_names(rng, self.options.viewers, self.names)
        logins = [f"{self.options.mark}{name}" for name in names]
        accounts = [
            Account(self.ids[number], login, _display_name(rng, login), deleted=rng.random() < _DELETED)
            for number, login in enumerate(logins)
        ]
        for login in (*LISTED_BOTS, *UNLISTED_BOTS):
            user_id = self.ids[len(accounts)]
            accounts.append(Account(user_id, login, login, bot=True, listed=login in LISTED_BOTS))
        accounts += [
            Account(channel.channel_id, channel.login, channel.display_name) for channel in self.channels
        ]
        return accounts


def _split(rng: Random, total: int, parts: int) -> list[int]:
    """Bounds that cut ``range(total)`` into unequal, nowhere empty parts."""
    smallest = max(1, total // parts // 2)
    shares = list(accumulate(rng.uniform(0.5, 1.5) for _ in range(parts)))
    free = total - smallest * parts
    return [
        0,
        *(smallest * (part + 1) + round(free * share / shares[-1]) for part, share in enumerate(shares)),
    ]


def _display_name(rng: Random, login: str) -> str:
    kind = rng.random()
    return login if kind < 0.4 else login.title() if kind < 0.9 else login.upper()
