"""Nobody who only claims to be Twitch is believed: certificates are verified, everywhere."""

import re
import ssl
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from collector_service.metrics import Stats
from collector_service.settings import TwitchSettings
from collector_service.support.retry import RetryPolicy
from collector_service.twitch.helix import Helix, HelixError, HelixTimings
from collector_service.twitch.vod_chat import GraphqlComments

# Ways to turn verification off, in all languages that are used here.
_TURNED_OFF = re.compile(
    r"CERT_NONE|check_hostname\s*=\s*False|verify\s*=\s*False|verify_ssl\s*=|ssl\s*=\s*False|_unverified_"
    r"|allow_invalid|--insecure|curl (\S+ )*-[a-zA-Z]*k\b|--no-verify-ssl"
    r"|--no-check-certificate|--tls-verify=false"
    r"|strict-ssl\s*=?\s*false|NODE_TLS_REJECT_UNAUTHORIZED|--trusted-host"
)


QUICK = RetryPolicy(0.01, 0.01, attempts=6)


@asynccontextmanager
async def serving(name):
    """Twitch's answers behind a certificate for ``name``; yields URL, authority, and what was asked."""
    asked = []

    async def answer(request):
        asked.append(request.path)
        if request.path == "/oauth2/validate":
            told = {"client_id": "c", "login": None, "scopes": [], "user_id": None, "expires_in": 5_000_000}
            return web.json_response(told)
        if request.path == "/oauth2/token":
            return web.json_response({"access_token": "t", "expires_in": 9, "token_type": "bearer"})
        if request.path == "/gql":
            return web.json_response(
                {"data": {"video": {"comments": {"edges": [], "pageInfo": {"hasNextPage": False}}}}}
            )
        return web.json_response({"data": [], "pagination": {}})

    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    app = web.Application()
    app.add_routes([web.route("*", "/{any:.*}", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}", authority, asked
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(("name", "trusted"), [("127.0.0.1", False), ("another.example", True)])
async def test_helix_and_vod_chat_refuse_a_stranger(tmp_path, name, trusted):
    """A certificate of an unknown authority, and one of a known authority for another name."""
    async with serving(name) as (url, authority, asked):
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        twitch = TwitchSettings(
            helix_url=url + "/helix", id_url=url, gql_url=url + "/gql", client_id="c",
            client_secret="planted", ca_file=tmp_path / "ca.pem" if trusted else None,
        )  # fmt: skip
        async with Helix.open(twitch, Stats(), timings=HelixTimings(retry=QUICK)) as helix:
            with pytest.raises(HelixError) as refused:
                await helix.top_streams(10)
        assert "planted" not in str(refused.value)
        async with GraphqlComments.open(twitch, retry=QUICK) as comments:
            [page] = [page async for page in comments.pages("1", 60.0)]
        assert "Certificate" in page.reason
        assert not page.complete
        # The handshake failed, so nothing was sent: no token, no secret.
        assert asked == []


async def test_the_same_clients_talk_to_whom_they_know(tmp_path):
    async with serving("127.0.0.1") as (url, authority, asked):
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        twitch = TwitchSettings(
            helix_url=url + "/helix", id_url=url, gql_url=url + "/gql", client_id="c", client_secret="s",
            ca_file=tmp_path / "ca.pem",
        )  # fmt: skip
        async with Helix.open(twitch, Stats(), timings=HelixTimings(retry=QUICK)) as helix:
            assert await helix.top_streams(10) == []
        async with GraphqlComments.open(twitch, retry=QUICK) as comments:
            pages = [page async for page in comments.pages("1", 60.0)]
        assert pages[-1].complete
        assert {"/helix/streams", "/gql"} <= set(asked)


def test_nothing_that_is_shipped_turns_verification_off():
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True, text=True).stdout
    found = []
    for name in filter(None, listed.split("\0")):
        if name.startswith("tests/") or not Path(name).is_file():
            continue
        text = Path(name).read_text(errors="replace")
        found += [f"{name}: {match.group()}" for match in _TURNED_OFF.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    ["ssl=False", "requests.get(url, verify=False)", "curl -sk https://x", "context.check_hostname = False",
     "pip install --trusted-host x", "ssl._create_unverified_context()"],
)  # fmt: skip
def test_the_search_knows_what_it_looks_for(line):
    assert _TURNED_OFF.search(line)
