"""The channel list: its sources, hysteresis, renames and faults."""

from datetime import UTC, datetime

import pytest

from collector_service.channels import ChannelList, needs_helix
from collector_service.logins import read_logins
from collector_service.settings import CollectionSettings, SettingsError, TwitchSettings
from collector_service.stats import Stats
from collector_service.twitch.helix import CredentialsRefusedError, HelixError, Stream, User
from collector_service.windows import StreamInfo

STARTED = datetime(2026, 11, 18, tzinfo=UTC)


def stream(user_id, login=None, viewers=10):
    return Stream(user_id, login or f"c{user_id}", "1", "Chess", "en", "t", viewers, STARTED)


class FakeHelix:
    """``top`` and ``live`` as the test sets them; ``error`` is raised instead."""

    def __init__(self):
        self.top = []
        self.live = []
        self.accounts = {}
        self.error = None

    def answer(self, value):
        if self.error:
            raise self.error
        return value

    async def top_streams(self, limit):
        return self.answer(list(self.top[:limit]))

    async def streams(self, user_ids):
        wanted = set(user_ids)
        return self.answer([one for one in self.live if one.user_id in wanted])

    async def users(self, logins=(), ids=()):
        return self.answer([User(self.accounts[name], name) for name in logins if name in self.accounts])


def listing_of(helix, **settings):
    return ChannelList(CollectionSettings(**settings), helix, Stats())


async def test_the_biggest_streams_with_their_metadata():
    helix = FakeHelix()
    helix.top = [stream(1, viewers=50), stream(2), stream(3)]
    found = await listing_of(helix, top_channels_limit=2).refresh()
    assert found.logins == ["c1", "c2"]
    assert found.room_ids == {"c1": 1, "c2": 2}
    assert found.stream_infos[1] == StreamInfo(50, "1", "Chess", "en", "t", STARTED)


async def test_a_channel_leaves_only_after_several_misses_in_a_row():
    helix = FakeHelix()
    channels = listing_of(helix, missed_refreshes=3)
    seen = []
    for top, live in ([1, 2], []), ([2], [1]), ([2], []), ([1, 2], []), ([2], []), ([2], []), ([2], []):
        helix.top = [stream(one) for one in top]
        helix.live = [stream(one) for one in live]
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


async def test_a_rename_replaces_the_old_login_at_once():
    helix = FakeHelix()
    channels = listing_of(helix)
    helix.top = [stream(1), stream(2)]
    await channels.refresh()
    helix.top = [stream(1, "renamed"), stream(2)]
    assert (await channels.refresh()).room_ids == {"renamed": 1, "c2": 2}
    helix.top, helix.live = [stream(2)], [stream(1, "again")]
    assert (await channels.refresh()).room_ids == {"c2": 2, "again": 1}


async def test_nobody_streaming_is_a_fault_once_somebody_did():
    helix = FakeHelix()
    channels = listing_of(helix, missed_refreshes=1)
    assert (await channels.refresh()).logins == []
    helix.top = [stream(1)]
    assert (await channels.refresh()).logins == ["c1"]
    helix.top = []
    with pytest.raises(HelixError):
        await channels.refresh()


async def test_a_given_list_gets_metadata_but_does_not_depend_on_it():
    helix = FakeHelix()
    helix.accounts = {"a": 1, "b": 2}
    helix.live = [stream(2, "b")]
    channels = listing_of(helix, channels="B, a,#gone,a")
    found = await channels.refresh()
    assert found.logins == ["b", "a", "gone"]
    assert found.room_ids == {"b": 2, "a": 1}
    assert found.stream_infos.keys() == {2}
    helix.error = HelixError("down")
    later = await channels.refresh()
    assert (later.logins, later.stream_infos) == (found.logins, found.stream_infos)
    helix.error = CredentialsRefusedError("no")
    with pytest.raises(CredentialsRefusedError):
        await channels.refresh()


async def test_a_file_is_read_again_at_each_refresh(tmp_path):
    path = tmp_path / "channels.txt"
    path.write_text("One # first\n\n# nothing\ntwo\none\n")
    channels = listing_of(None, channels_file=path)
    assert (await channels.refresh()).logins == ["one", "two"]
    path.write_text("three\n")
    assert (await channels.refresh()).logins == ["three"]
    path.write_text("# empty\n")
    with pytest.raises(SettingsError, match="no channel"):
        await channels.refresh()


async def test_a_login_that_is_none_is_refused():
    with pytest.raises(SettingsError, match=r"TWITCH_CHANNELS.*'a b'"):
        await listing_of(None, channels=("ok", "a b")).refresh()


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
