"""Viewer keys: those of the contract, cached within a bound."""

from collector_service.contract import viewer_key
from collector_service.live.viewer_keys import ViewerKeys
from collector_service.twitch.irc import parse


def chat(user_id, login="somebody"):
    line = f"@room-id=1;user-id={user_id} :{login}!{login}@x PRIVMSG #c :t"
    return parse(line.encode())


def test_keys_are_those_of_the_contract_and_the_cache_is_bounded():
    viewers = ViewerKeys("secret", ["nightbot"], generation=50)
    for _ in range(2):
        for user_id in range(1000):
            assert viewers.key(chat(user_id)) == viewer_key("secret", str(user_id))
    assert len(viewers._young) + len(viewers._old) <= 100
    assert viewers.bots == set()


def test_listed_bots_are_known_by_their_key():
    viewers = ViewerKeys("secret", ["nightbot"], generation=2)
    key = viewers.key(chat(7, "nightbot"))
    for user_id in range(100, 120):
        viewers.key(chat(user_id))
    assert viewers.key(chat(7, "nightbot")) == key
    assert viewers.bots == {key} == {viewer_key("secret", "7")}
