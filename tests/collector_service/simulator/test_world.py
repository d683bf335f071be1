import hashlib
from collections import Counter, defaultdict
from math import log
from pathlib import Path

import graspologic_native
import numpy as np
import pytest
import scipy.sparse
from sklearn.metrics import adjusted_mutual_info_score

from collector_service.simulator.chat import Kind, stream_events
from collector_service.simulator.lines import RoomLines
from collector_service.simulator.planting import plant
from collector_service.simulator.vocabulary import LISTED_BOTS
from collector_service.simulator.world import DAY, World, WorldOptions


@pytest.fixture(scope="module")
def big() -> World:
    """The default world."""
    return plant(WorldOptions())


def digest(world: World) -> str:
    """Every byte of every stream's chat, and the channels."""
    state = hashlib.sha256(repr([(c.channel_id, c.login, c.game) for c in world.channels]).encode())
    for stream in world.streams:
        lines = RoomLines(world, stream).write(stream_events(world, stream), 0)
        state.update("\n".join(lines).encode())
    return state.hexdigest()


def audiences(world: World) -> list[set[int]]:
    found: list[set[int]] = [set() for _ in world.channels]
    for stream in world.streams:
        found[stream.channel] |= {visit[0] for visit in stream.visits}
    return found


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    options = {"channels": 30, "viewers": 400, "days": 2}
    first = digest(plant(WorldOptions(seed=3, **options)))
    assert digest(plant(WorldOptions(seed=3, **options))) == first
    assert digest(plant(WorldOptions(seed=4, **options))) != first


@pytest.mark.parametrize(
    "options",
    [{"channels": 1}, {"viewers": 0}, {"days": 0}, {"start": 1_794_960_001.0}],
)
def test_options_that_make_no_world_are_refused(options):
    with pytest.raises(ValueError):
        WorldOptions(**options)


@pytest.mark.parametrize("channels", [2, 5, 11, 12, 20, 47, 700])
def test_any_size_fits_together(channels):
    world = plant(WorldOptions(seed=2, channels=channels, viewers=60, days=1, oddities=True))
    assert len(world.channels) == channels
    communities = {channel.community for channel in world.channels}
    assert communities == set(range(len(communities)))
    region_of = defaultdict(set)
    for channel in world.channels:
        region_of[channel.community].add((channel.region, channel.language))
    assert all(len(regions) == 1 for regions in region_of.values())
    assert {stream.channel for stream in world.streams} == set(range(channels))
    assert world.oddities is not None
    old, new, _ = world.oddities.renamed
    assert len({old, new, world.oddities.suspended, world.oddities.nonexistent}) == 4


def test_ids_and_logins_are_unique(big):
    assert len({account.user_id for account in big.accounts}) == len(big.accounts)
    assert len({account.login for account in big.accounts}) == len(big.accounts)
    assert all(account.login.replace("_", "").isalnum() for account in big.accounts)
    assert [big.accounts[c.owner].user_id for c in big.channels] == [c.channel_id for c in big.channels]


def test_streams_and_their_chat_stay_inside_the_worlds_time_and_apart(big):
    last_end: dict[int, int] = {}
    for stream in big.streams:
        assert big.start < stream.started_at < stream.ended_at < big.end
        # No window of up to an hour may hold two streams of a channel.
        assert stream.started_at - last_end.get(stream.channel, 0) > 3_600
        last_end[stream.channel] = stream.ended_at
    for stream in big.streams[::20]:
        events = stream_events(big, stream)
        assert events == sorted(events)
        assert events[0].ms >= stream.started_at * 1_000
        assert max(e.ms for e in events if e.kind == Kind.MESSAGE) < stream.ended_at * 1_000


def test_streams_follow_the_evenings_of_their_language_and_some_span_midnight(big):
    hours = defaultdict(list)
    for stream in big.streams:
        if stream.started_at > big.start + 3_600:
            hours[big.channels[stream.channel].language].append(stream.started_at % DAY / 3_600)
    assert 7 < np.median(hours["ja"]) < 12
    assert 15 < np.median(hours["de"]) < 20
    assert sum(s.started_at // DAY != s.ended_at // DAY for s in big.streams) > 50


def test_the_default_world_has_the_promised_size(big):
    messages = Counter(Kind(event.kind) for stream in big.streams for event in stream_events(big, stream))
    assert 500_000 < messages[Kind.MESSAGE] < 1_000_000
    assert all(messages[kind] > 20 for kind in Kind)


def test_bots_are_in_most_channels_and_viewers_are_not(big):
    channels_of = Counter(account for audience in audiences(big) for account in audience)
    bots = [number for number, account in enumerate(big.accounts) if account.bot]
    assert {big.accounts[number].login for number in bots if big.accounts[number].listed} == set(
        LISTED_BOTS
    )
    assert sum(not big.accounts[number].listed for number in bots) >= 3
    assert all(channels_of[number] > 0.6 * len(big.channels) for number in bots)
    assert max(channels_of[number] for number in range(big.options.viewers)) < 0.1 * len(big.channels)


def test_the_listed_bots_are_on_the_projects_list():
    lines = Path("config/bots.txt").read_text(encoding="utf-8").splitlines()
    assert set(LISTED_BOTS) <= {line.split("#")[0].strip() for line in lines}


def test_channel_sizes_follow_a_power_law_with_a_few_giants(big):
    sizes = [len(audience) for audience in audiences(big)]
    giants = [size for size, channel in zip(sizes, big.channels, strict=True) if channel.giant]
    ranked = sorted(sizes, reverse=True)
    assert len(giants) == 3
    assert sorted(giants, reverse=True) == ranked[:3]
    assert min(giants) > 2 * ranked[3]
    # Rank against size on log scales is about a line.
    x, y = [log(rank + 1) for rank in range(3, len(ranked))], [log(size) for size in ranked[3:]]
    slope, _ = np.polyfit(x, y, 1)
    assert slope < -0.4
    assert np.corrcoef(x, y)[0, 1] < -0.95


def test_most_viewers_stay_in_their_community_and_most_who_cross_stay_in_their_language(big):
    homes: dict[int, Counter[int]] = defaultdict(Counter)
    for stream in big.streams:
        channel = big.channels[stream.channel]
        if not channel.giant:
            for account, *_ in stream.visits:
                if account < big.options.viewers:
                    homes[account][channel.community] += 1
    region_of = {channel.community: channel.region for channel in big.channels}
    crossing = [communities for communities in homes.values() if len(communities) > 1]
    within = [c for c in crossing if len({region_of[community] for community in c}) == 1]
    assert 0.15 < len(crossing) / len(homes) < 0.25
    assert len(within) / len(crossing) > 0.7
    visits = Counter(sum(communities.values()) for communities in homes.values())
    assert visits[1] / len(homes) > 0.1


def test_raids_bring_viewers_of_the_raider_to_a_live_channel(big):
    raids = [(stream, raid) for stream in big.streams for raid in stream.raids]
    assert len(raids) > 50
    for target, (instant, raider, _) in raids:
        assert target.started_at < instant < target.ended_at
        source = [s for s in big.streams if s.channel == raider and s.ended_at < instant][-1]
        brought = {visit[0] for visit in target.visits if visit[1] == instant + 2}
        assert brought
        assert brought <= {visit[0] for visit in source.visits}


def test_shared_chats_join_live_streams_of_different_channels(big):
    assert len(big.sessions) == 2
    for session in big.sessions:
        streams = [big.streams[index] for index in session.streams]
        assert len({stream.channel for stream in streams}) == len(streams) >= 2
        assert all(s.started_at < session.started_at < session.ended_at < s.ended_at for s in streams)
        assert all(stream.session is session for stream in streams)


def communities(members: scipy.sparse.csr_matrix, resolution: float) -> list[int]:
    """Leiden on the cosine of audiences, of pairs that share at least five viewers."""
    shared = (members.T @ members).tocoo()
    sizes = np.asarray(members.sum(axis=0)).ravel()
    edges = [
        (str(a), str(b), float(n / np.sqrt(sizes[a] * sizes[b])))
        for a, b, n in zip(shared.row, shared.col, shared.data, strict=True)
        if a < b and n >= 5
    ]
    _, found = graspologic_native.leiden(
        edges=edges,
        starting_communities=None,
        resolution=resolution,
        randomness=0.001,
        iterations=5,
        use_modularity=True,
        seed=1,
        trials=1,
    )
    return [found.get(str(number), -number - 1) for number in range(len(sizes))]


@pytest.mark.parametrize("seed", [1, 2])
def test_planted_communities_and_regions_can_be_recovered_without_bots_only(seed):
    world = plant(WorldOptions(seed=seed))
    pairs = [(account, number) for number, audience in enumerate(audiences(world)) for account in audience]
    rows, columns = zip(*pairs, strict=True)
    everyone = scipy.sparse.csr_matrix((np.ones(len(rows)), (rows, columns)))
    people = everyone[[n for n in range(everyone.shape[0]) if not world.accounts[n].bot]]
    fine = [channel.community for channel in world.channels]
    coarse = [channel.region for channel in world.channels]
    assert adjusted_mutual_info_score(fine, communities(people, 1.0)) > 0.98
    assert adjusted_mutual_info_score(coarse, communities(people, 0.25)) > 0.95
    assert adjusted_mutual_info_score(fine, communities(everyone, 1.0)) < 0.95
    assert adjusted_mutual_info_score(coarse, communities(everyone, 0.25)) < 0.2
