"""The channel list: its sources, its share, hysteresis, renames, opt-outs and faults."""

import math
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from collector_service.clock import ScaledClock
from collector_service.contract import ChannelStatus
from collector_service.live.channel_list import CHECK_SECONDS, ChannelList, needs_helix, owner
from collector_service.live.windows import StreamInfo
from collector_service.logins import read_logins
from collector_service.metrics import Stats
from collector_service.privacy.opt_outs import OptOuts
from collector_service.settings import CollectionSettings, SettingsError, TwitchSettings
from collector_service.simulator.planting import plant
from collector_service.simulator.server import Simulator, SimulatorOptions
from collector_service.simulator.world import WorldOptions
from collector_service.support.retry import RetryPolicy
from collector_service.twitch.helix import CredentialsRefusedError, Helix, HelixError, HelixTimings

STARTED = datetime(2026, 11, 18, tzinfo=UTC)

QUICK = HelixTimings(retry=RetryPolicy(0.001, 0.001, attempts=6))


class Twitch:
    """Twitch's HTTP side: the accounts (id -> login), who is live, and faults, as the test sets them.

    ``top`` holds the ids of the biggest streams, ``live`` those of further ones. ``blank`` calls of users
    get an empty answer. ``down`` answers all of Helix with 503, ``down_by_id`` streams asked for by id, and
    ``refusing`` all of it with 401.
    """

    def __init__(self):
        self.accounts = {}
        self.top = []
        self.live = []
        self.blank = 0
        self.down = self.down_by_id = self.refusing = False
        self.calls = Counter()

    def stream(self, number, viewers):
        login = self.accounts.get(number, f"c{number}")
        return {
            "id": f"s{number}", "user_id": str(number), "user_login": login, "user_name": login,
            "game_id": "1", "game_name": "Chess", "type": "live", "title": "t", "viewer_count": viewers,
            "started_at": "2026-11-18T00:00:00Z", "language": "en", "thumbnail_url": "https://x/y.jpg",
            "tag_ids": [], "tags": [], "is_mature": False,
        }  # fmt: skip

    def user(self, number):
        return {
            "id": str(number), "login": self.accounts[number], "display_name": "", "type": "",
            "broadcaster_type": "", "description": "", "profile_image_url": "https://x/y.png",
            "offline_image_url": "", "view_count": 0, "created_at": "2020-01-01T00:00:00Z",
        }  # fmt: skip

    async def answer(self, request):
        path = request.path.rpartition("/")[2]
        self.calls[path] += 1
        if path == "token":
            return web.json_response({"access_token": "t", "expires_in": 9000, "token_type": "bearer"})
        if path == "validate":
            return web.json_response({"client_id": "i", "scopes": [], "expires_in": 9000})
        if self.down or (self.down_by_id and "user_id" in request.query):
            return web.Response(status=503)
        if self.refusing:
            return web.json_response({"status": 401, "message": "Invalid OAuth token"}, status=401)
        ids = {int(one) for one in request.query.getall("user_id", request.query.getall("id", []))}
        if path == "users":
            asked = request.query.getall("login", [])
            assert 0 < len(ids) + len(asked) <= 100
            found = [number for number, login in self.accounts.items() if number in ids or login in asked]
            if self.blank:
                self.blank, found = self.blank - 1, []
            return web.json_response({"data": [self.user(number) for number in found]})
        on_air = [*self.top, *self.live] if ids else self.top
        wanted = [number for number in on_air if not ids or number in ids]
        data = [self.stream(number, 1000 - rank) for rank, number in enumerate(wanted)]
        return web.json_response({"data": data, "pagination": {}})

    @asynccontextmanager
    async def helix(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            settings = TwitchSettings(
                helix_url=url + "/helix", id_url=url, client_id="i", client_secret="secret"
            )
            async with Helix.open(settings, timings=QUICK) as helix:
                yield helix
        finally:
            await runner.cleanup()


class HandClock:
    """A clock that the test turns."""

    rate = 1.0

    def __init__(self):
        self.instant = 1e9

    def now(self):
        return self.instant


@pytest.fixture
def twitch():
    return Twitch()


@pytest.fixture
async def helix(twitch):
    async with twitch.helix() as client:
        yield client


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def listing_of(helix, clock):
    return lambda **settings: ChannelList(CollectionSettings(**settings), helix, Stats(), clock)


def without_helix(**settings):
    return ChannelList(CollectionSettings(**settings), None, Stats())


# The share -------------------------------------------------------------------------------------------

LOGINS = st.sets(st.from_regex(r"[a-z0-9_]{1,25}", fullmatch=True), min_size=1, max_size=60)


@examples(deadline=None, max_examples=60)
@given(logins=LOGINS, collectors=st.integers(1, 12))
async def test_every_channel_belongs_to_exactly_one_collector(logins, collectors):
    given_list = tuple(sorted(logins))
    shares = [
        (await without_helix(channels=given_list, shard=f"{number}/{collectors}").refresh()).logins
        for number in range(1, collectors + 1)
    ]
    assert Counter(login for share in shares for login in share) == Counter(given_list)
    for share in shares:
        assert share == [login for login in given_list if login in share]


@examples(deadline=None, max_examples=60)
@given(logins=LOGINS, collectors=st.integers(1, 11))
def test_one_more_collector_takes_channels_but_moves_none_between_the_others(logins, collectors):
    for login in logins:
        assert owner(login, collectors + 1) in (owner(login, collectors), collectors)


def test_shares_are_alike_and_few_channels_move():
    logins = [f"channel_{number}" for number in range(20_000)]
    for collectors in (1, 2, 3, 8):
        sizes = Counter(owner(login, collectors) for login in logins)
        expected = len(logins) / collectors
        assert sizes.keys() == set(range(collectors))
        assert all(abs(size - expected) < 5 * math.sqrt(expected) for size in sizes.values())
        moved = sum(owner(login, collectors) != owner(login, collectors + 1) for login in logins)
        expected = len(logins) / (collectors + 1)
        assert abs(moved - expected) < 5 * math.sqrt(expected)


def test_the_hash_is_the_same_everywhere_and_always():
    assert [owner(login, 5) for login in ("alpha", "beta", "gamma", "x_1")] == [3, 0, 0, 4]


async def test_collectors_share_the_biggest_streams(twitch, listing_of):
    twitch.top = list(range(1, 41))
    shares = [await listing_of(top_channels_limit=30, shard=f"{n}/3").refresh() for n in (1, 2, 3)]
    assert sorted(room for share in shares for room in share.channel_ids.values()) == list(range(1, 31))
    for share in shares:
        assert 0 < len(share.logins) < 30
        assert share.stream_infos.keys() == set(share.channel_ids.values())
    # A channel that misses a refresh stays with its collector.
    twitch.top, twitch.live = list(range(2, 42)), [1]
    lists = [listing_of(top_channels_limit=40, shard=f"{n}/3") for n in (1, 2, 3)]
    for channels in lists:
        await channels.refresh()
    twitch.top, twitch.live = list(range(3, 42)), [2]
    shares = [await channels.refresh() for channels in lists]
    assert sorted(room for share in shares for room in share.channel_ids.values()) == list(range(2, 42))
    assert sorted(room for share in shares for room in share.stream_infos) == list(range(2, 42))


# The biggest streams ---------------------------------------------------------------------------------


async def test_the_biggest_streams_with_their_metadata(twitch, listing_of):
    twitch.top = [1, 2, 3]
    found = await listing_of(top_channels_limit=2).refresh()
    assert found.logins == ["c1", "c2"]
    assert found.channel_ids == {"c1": 1, "c2": 2}
    assert found.stream_infos[1] == StreamInfo(1000, "1", "Chess", "en", "t", STARTED)
    assert found.stream_infos.keys() == {1, 2}
    assert (found.statuses, found.renames) == ({}, {})


async def test_a_channel_leaves_only_after_several_misses_in_a_row(twitch, listing_of):
    channels = listing_of(missed_refreshes=3)
    seen = []
    for top, live in ([1, 2], []), ([2], [1]), ([2], []), ([1, 2], []), ([2], []), ([2], []), ([2], []):
        twitch.top, twitch.live = top, live
        found = await channels.refresh()
        seen.append((found.logins, sorted(found.stream_infos)))
    assert seen == [
        (["c1", "c2"], [1, 2]),
        (["c2", "c1"], [1, 2]),
        (["c2", "c1"], [2]),
        (["c1", "c2"], [1, 2]),
        (["c2", "c1"], [2]),
        (["c2", "c1"], [2]),
        (["c2"], [2]),
    ]


@pytest.mark.parametrize("misses", [1, 2, 5])
async def test_failed_refreshes_are_no_misses(twitch, listing_of, misses):
    channels = listing_of(missed_refreshes=misses)
    twitch.top = [1, 2]
    await channels.refresh()
    twitch.top = [2]
    for missed in range(1, misses + 1):
        twitch.down = True
        for _ in range(3):
            with pytest.raises(HelixError):
                await channels.refresh()
            assert channels.listing().logins == (["c1", "c2"] if missed == 1 else ["c2", "c1"])
        twitch.down = False
        found = await channels.refresh()
        assert found.logins == (["c2"] if missed == misses else ["c2", "c1"])


async def test_a_miss_counts_once_even_if_the_refresh_fails_halfway(twitch, listing_of):
    channels = listing_of(missed_refreshes=2)
    twitch.top = [1, 2]
    await channels.refresh()
    twitch.top = [2]
    twitch.down_by_id = True
    for _ in range(4):
        with pytest.raises(HelixError):
            await channels.refresh()
    assert twitch.calls["streams"] == 1 + 4 * (1 + QUICK.retry.attempts)
    twitch.down_by_id = False
    assert (await channels.refresh()).logins == ["c2", "c1"]
    assert (await channels.refresh()).logins == ["c2"]


async def test_a_rename_replaces_the_old_login_at_once(twitch, listing_of):
    channels = listing_of()
    twitch.top = [1, 2]
    await channels.refresh()
    twitch.accounts = {1: "renamed"}
    assert (await channels.refresh()).channel_ids == {"renamed": 1, "c2": 2}
    twitch.top, twitch.live, twitch.accounts = [2], [1], {1: "again"}
    assert (await channels.refresh()).channel_ids == {"c2": 2, "again": 1}


async def test_a_login_that_somebody_else_has_now_is_another_channel(twitch, listing_of):
    channels = listing_of()
    twitch.top = [1, 2]
    assert (await channels.refresh()).channel_ids == {"c1": 1, "c2": 2}
    twitch.top, twitch.accounts = [2, 3], {3: "c1"}
    assert (await channels.refresh()).channel_ids == {"c2": 2, "c1": 3}


async def test_a_deleted_channel_of_the_biggest_is_named_until_it_leaves(twitch, listing_of):
    channels = listing_of(missed_refreshes=3)
    twitch.top, twitch.accounts = [1, 2, 3], {1: "c1", 2: "c2", 3: "c3"}
    await channels.refresh()
    del twitch.accounts[1]
    twitch.accounts[2] = "other"
    found = await channels.recheck(["c1", "c2", "stranger"])
    assert (found.logins, found.statuses) == (["other", "c3"], {"c1": "not found"})
    twitch.top = [2, 3]
    found = await channels.refresh()
    assert (found.logins, found.statuses) == (["other", "c3"], {"c1": "not found"})
    twitch.accounts[1], twitch.live = "c1", [1]
    assert (await channels.refresh()).logins == ["other", "c3", "c1"]


async def test_nobody_streaming_is_a_fault_once_somebody_did(twitch, listing_of):
    channels = listing_of(missed_refreshes=1)
    assert (await channels.refresh()).logins == []
    twitch.top = [1]
    assert (await channels.refresh()).logins == ["c1"]
    twitch.top = []
    with pytest.raises(HelixError):
        await channels.refresh()
    assert channels.listing().logins == ["c1"]


# A given list ----------------------------------------------------------------------------------------


async def test_a_given_list_gets_metadata_but_does_not_depend_on_it(twitch, listing_of):
    twitch.accounts = {1: "a", 2: "b"}
    twitch.live = [2]
    channels = listing_of(channels="B, a,#gone,a")
    found = await channels.refresh()
    assert found.logins == ["b", "a"]
    assert found.channel_ids == {"b": 2, "a": 1}
    assert found.stream_infos.keys() == {2}
    assert found.statuses == {"gone": "not found"}
    twitch.down = True
    assert await channels.refresh() == found
    twitch.down, twitch.refusing = False, True
    with pytest.raises(CredentialsRefusedError):
        await channels.refresh()


async def test_accounts_are_checked_once_an_hour_and_renames_followed(twitch, listing_of, clock):
    twitch.accounts = {1: "a", 2: "b", 3: "c"}
    channels = listing_of(channels=("a", "b", "c", "late"))
    first = await channels.refresh()
    assert first.statuses == {"late": "not found"}
    twitch.accounts = {1: "a_new", 3: "c", 4: "late"}
    calls = twitch.calls["users"]
    for _ in range(11):
        clock.instant += CHECK_SECONDS / 12
        assert await channels.refresh() == first
    assert twitch.calls["users"] == calls
    clock.instant += CHECK_SECONDS / 12
    found = await channels.refresh()
    assert found.logins == ["a_new", "c", "late"]
    assert found.channel_ids == {"a_new": 1, "c": 3, "late": 4}
    assert found.statuses == {"a": "renamed", "b": "not found"}
    assert found.renames == {"a": "a_new"}
    assert set(found.statuses.values()) <= set(ChannelStatus)
    twitch.accounts |= {1: "a", 2: "b"}
    clock.instant += CHECK_SECONDS
    found = await channels.refresh()
    assert (found.logins, found.statuses) == (["a", "b", "c", "late"], {})


async def test_a_clock_set_back_does_not_put_the_check_off(twitch, listing_of, clock):
    twitch.accounts = {1: "a", 2: "b"}
    channels = listing_of(channels=("a", "b"))
    await channels.refresh()
    twitch.accounts[1] = "new"
    clock.instant -= 86_400
    assert (await channels.refresh()).logins == ["new", "b"]


async def test_a_recheck_asks_at_once_and_only_about_what_is_named(twitch, listing_of):
    twitch.accounts = {1: "a", 2: "b", 3: "c", 4: "d"}
    channels = listing_of(channels=("a", "b", "c", "d"))
    await channels.refresh()
    twitch.accounts = {1: "a2", 2: "b2", 4: "d"}
    found = await channels.recheck(["b", "c", "stranger"])
    assert (found.logins, found.renames) == (["a", "b2", "d"], {"b": "b2"})
    assert found.statuses == {"b": "renamed", "c": "not found"}
    assert (await channels.recheck(["b2"])).channel_ids == {"a": 1, "b2": 2, "d": 4}
    twitch.down = True
    assert await channels.recheck(["a"]) == found


async def test_a_login_reused_by_somebody_else_is_another_channel(twitch, listing_of, clock):
    twitch.accounts = {1: "a", 2: "b", 3: "c"}
    channels = listing_of(channels=("a", "b", "c"))
    await channels.refresh()
    # 1 was renamed, and 9 took its login: the list meant 1. 2 was deleted, and 8 took its login.
    twitch.accounts = {1: "a2", 9: "a", 8: "b", 3: "c"}
    clock.instant += CHECK_SECONDS
    found = await channels.refresh()
    assert found.channel_ids == {"a2": 1, "b": 8, "c": 3}
    assert (found.statuses, found.renames) == ({"a": "renamed"}, {"a": "a2"})


async def test_swapped_names_are_both_watched(twitch, listing_of, clock):
    twitch.accounts = {1: "a", 2: "b"}
    channels = listing_of(channels=("a", "b"))
    await channels.refresh()
    twitch.accounts = {1: "b", 2: "a"}
    clock.instant += CHECK_SECONDS
    found = await channels.refresh()
    assert found.channel_ids == {"b": 1, "a": 2}
    assert (found.statuses, found.renames) == ({}, {"a": "b", "b": "a"})


async def test_an_account_under_a_login_that_another_had_has_that_one_checked(twitch, listing_of, tmp_path):
    path = tmp_path / "channels.txt"
    path.write_text("a\n")
    twitch.accounts = {1: "a"}
    channels = listing_of(channels_file=path)
    await channels.refresh()
    twitch.accounts = {1: "b", 2: "c"}
    path.write_text("a\nc\n")
    await channels.refresh()
    twitch.accounts = {1: "b", 2: "a"}
    await channels.recheck(["c"])
    assert (await channels.refresh()).channel_ids == {"b": 1, "a": 2}


async def test_empty_answers_prove_nothing(twitch, listing_of, clock):
    names = {number: f"n{number}" for number in range(1, 251)}
    twitch.accounts = dict(names)
    channels = listing_of(channels=tuple(names.values()))
    everything = await channels.refresh()
    assert len(everything.channel_ids) == 250
    del twitch.accounts[7]
    for blank in (1, 2, 3, 4, 5, 6, 100):
        twitch.blank = blank
        clock.instant += CHECK_SECONDS
        found = await channels.refresh()
        assert found.logins in (everything.logins, [name for name in names.values() if name != "n7"])
    assert "n7" not in found.logins
    twitch.blank = 0


async def test_empty_answers_at_the_start_leave_the_whole_list(twitch, listing_of):
    twitch.accounts, twitch.blank = {1: "a", 2: "b"}, 10
    channels = listing_of(channels=("a", "b", "nobody"))
    found = await channels.refresh()
    assert (found.logins, found.statuses) == (["a", "b", "nobody"], {})
    twitch.blank = 0
    found = await channels.refresh()
    assert (found.logins, found.statuses) == (["a", "b"], {"nobody": "not found"})


async def test_without_helix_nothing_is_said(listing_of):
    channels = without_helix(channels=("a", "nobody"))
    found = await channels.refresh()
    assert (found.logins, found.statuses) == (["a", "nobody"], {})
    assert await channels.recheck(["nobody"]) == found


async def test_nothing_is_remembered_of_channels_that_left_the_list(twitch, listing_of, tmp_path):
    path = tmp_path / "channels.txt"
    channels = listing_of(channels_file=path)
    twitch.accounts = {number: f"n{number}" for number in range(300)}
    for at in range(0, 300, 50):
        path.write_text("".join(f"n{number}\nx{number}\n" for number in range(at, at + 50)))
        await channels.refresh()
    source = channels._source
    assert (len(source._ids), len(source._names), len(source._unknown)) == (50, 50, 50)


# Opt-outs --------------------------------------------------------------------------------------------


async def test_opted_out_channels_are_not_watched(twitch, listing_of, clock):
    twitch.accounts = {1: "a", 2: "b", 3: "c", 4: "d"}
    twitch.top = [1, 2, 3, 4]
    asked_out = OptOuts(channel_ids=frozenset({2}), channels=frozenset({"c", "nobody", "d2"}))
    for channels in (listing_of(), listing_of(channels=("a", "b", "c", "d"))):
        everybody = await channels.refresh()
        assert everybody.logins == ["a", "b", "c", "d"]
        channels.obey(asked_out)
        found = channels.listing()
        assert (found.logins, found.statuses) == (["a", "d"], {"b": "opted out", "c": "opted out"})
        assert found.channel_ids == {"a": 1, "d": 4}
        assert found.stream_infos.keys() == {1, 4}
        assert await channels.refresh() == found
        channels.obey(OptOuts())
        assert channels.listing() == everybody


async def test_a_rename_does_not_end_an_opt_out(twitch, listing_of):
    twitch.accounts = {1: "a", 2: "b", 3: "c"}
    channels = listing_of(channels=("a", "b", "c"))
    channels.obey(OptOuts(channels=frozenset({"a", "b2"})))
    await channels.refresh()
    twitch.accounts = {1: "a2", 2: "b2", 3: "c"}
    found = await channels.recheck(["b"])
    assert (found.logins, found.statuses) == (["c"], {"a": "opted out", "b": "opted out"})


# Faults of the simulated Twitch ----------------------------------------------------------------------

WORLD = plant(WorldOptions(seed=8, channels=700, viewers=400, days=1, oddities=True))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator():
    """A simulator whose clock stands at an hour with many streams."""
    hours = range(int(WORLD.start) + 3600, int(WORLD.end), 3600)
    busiest = max(hours, key=lambda t: sum(s.started_at <= t < s.ended_at for s in WORLD.streams))
    clock = ScaledClock(time.time() + 1e6, busiest, 1.0)
    async with Simulator.start(WORLD, clock, SimulatorOptions()) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def simulated(simulator):
    """The simulator without faults, a client of its Helix with its counters, and the instant."""
    simulator.faults.clear()
    settings = TwitchSettings(
        helix_url=simulator.helix_url,
        id_url=simulator.id_url,
        client_id=simulator.client_id,
        client_secret=simulator.client_secret,
    )
    stats = Stats()
    async with Helix.open(settings, stats, timings=replace(QUICK, request_seconds=2.0)) as helix:
        yield simulator, helix, stats, simulator.clock.now()


FAULTS = [
    ("unauthorized", 1, {"401": 1}, True),
    ("rate_limited", 1, {"429": 1}, True),
    ("server_error", 5, {"503": 5}, True),
    ("server_error", 6, {"503": 6}, False),
    ("invalid_cursor", 4, {"400": 4}, True),
    ("invalid_cursor", 5, {"400": 5}, False),
    ("hang", 1, {"error": 1}, True),
    ("empty", 1, {}, False),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("kind", "calls", "codes", "heals"), FAULTS)
async def test_no_fault_of_helix_changes_the_biggest_streams(simulated, kind, calls, codes, heals):
    simulator, helix, stats, instant = simulated
    truth = {
        WORLD.channels[stream.channel].login_at(instant): WORLD.channels[stream.channel].channel_id
        for stream in WORLD.streams
        if stream.started_at <= instant < stream.ended_at
    }
    assert len(truth) > 100  # several pages, which overlap
    channels = ChannelList(CollectionSettings(missed_refreshes=1), helix, stats, simulator.clock)
    first = await channels.refresh()
    assert first.channel_ids == truth
    assert len(first.logins) == len(truth)
    simulator.faults.helix(kind, calls)
    before = time.time()
    if heals:
        assert (await channels.refresh()).channel_ids == truth
        if kind == "rate_limited":
            assert time.time() >= int(before) + 1
    else:
        with pytest.raises(HelixError):
            await channels.refresh()
        assert channels.listing() == first
        assert (await channels.refresh()).channel_ids == truth
    assert codes.items() <= stats.helix_requests.items()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("kind", "calls", "codes", "heals"), [*FAULTS, ("empty", 2, {}, True)])
async def test_no_fault_of_helix_changes_a_given_list(simulated, kind, calls, codes, heals):
    simulator, helix, stats, instant = simulated
    clock = HandClock()
    wanted = [channel.login_at(WORLD.start) for channel in WORLD.channels]
    odd = WORLD.oddities
    old, _, renamed_at = odd.renamed
    lost = {odd.suspended: "not found", odd.nonexistent: "not found"}
    expected = [login for login in wanted if login != old or instant < renamed_at]
    if instant >= renamed_at:
        lost[old] = "not found"
    settings = CollectionSettings(channels=(*wanted, odd.suspended, odd.nonexistent))
    channels = ChannelList(settings, helix, stats, clock)
    first = await channels.refresh()
    assert (first.logins, first.statuses) == (expected, lost)
    clock.instant += CHECK_SECONDS
    simulator.faults.helix(kind, calls)
    assert await channels.refresh() == first
    simulator.faults.clear()
    assert await channels.refresh() == first
    assert codes.items() <= stats.helix_requests.items()
    assert heals or stats.refresh_failures == (kind != "empty")


async def test_a_rename_of_the_simulated_world_is_followed():
    old, new, instant = WORLD.oddities.renamed
    number = next(c.channel_id for c in WORLD.channels if c.login == old)
    for now, expected in ((instant - 60, [old]), (instant + 60, [new])):
        clock = ScaledClock(time.time() + 1e6, now, 1.0)
        async with Simulator.start(WORLD, clock, SimulatorOptions()) as simulator:
            settings = TwitchSettings(
                helix_url=simulator.helix_url,
                id_url=simulator.id_url,
                client_id=simulator.client_id,
                client_secret=simulator.client_secret,
            )
            async with Helix.open(settings, timings=QUICK) as helix:
                if expected == [old]:
                    channels = ChannelList(CollectionSettings(channels=(old,)), helix, Stats(), clock)
                    found = await channels.refresh()
                else:
                    channels._source._helix = helix
                    found = await channels.recheck([old])
        assert found.channel_ids == {expected[0]: number}
        assert found.renames == ({} if expected == [old] else {old: new})


# Sources ---------------------------------------------------------------------------------------------


async def test_a_file_is_read_again_at_each_refresh(tmp_path):
    path = tmp_path / "channels.txt"
    path.write_text("One # first\n\n# nothing\ntwo\none\n")
    channels = without_helix(channels_file=path)
    assert (await channels.refresh()).logins == ["one", "two"]
    path.write_text("three\n")
    assert (await channels.refresh()).logins == ["three"]
    path.write_text("# empty\n")
    with pytest.raises(SettingsError, match="no channel"):
        await channels.refresh()


async def test_a_login_that_is_none_is_refused():
    with pytest.raises(SettingsError, match=r"TWITCH_CHANNELS.*'a b'"):
        await without_helix(channels=("ok", "a b")).refresh()


@pytest.mark.parametrize("text", ["two words\n", "ok\nJOIN x\n", "a,b\n"])
def test_a_line_that_is_no_login_is_named(tmp_path, text):
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"the.setting: .*list.txt, line \d: .* is not a login"):
        read_logins(path, "the.setting")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"the.setting: cannot read .*gone.txt: No such file"):
        read_logins(tmp_path / "gone.txt", "the.setting")


@pytest.mark.parametrize(
    ("twitch", "collection", "needed"),
    [
        ({"client_id": "i", "client_secret": "s"}, {}, True),
        ({"oauth_token": "t"}, {"channels": "a"}, True),
        ({"client_id": "i"}, {"channels": "a"}, False),
        ({}, {"channels_file": "f"}, False),
    ],
)
def test_when_helix_is_needed(twitch, collection, needed):
    assert needs_helix(TwitchSettings(**twitch), CollectionSettings(**collection)) is needed


def test_without_list_and_credentials_all_ways_out_are_named():
    with pytest.raises(SettingsError) as failure:
        needs_helix(TwitchSettings(client_id="i"), CollectionSettings())
    for name in ("TWITCH_CHANNELS", "CHANNELS_FILE", "TWITCH_CLIENT_ID", "TWITCH_CLIENT_SECRET"):
        assert name in str(failure.value)
    assert "\n" not in str(failure.value)
