"""What only real sockets show of connections: resets, data before a close, certificates."""

import os
import socket
import ssl
import struct

import pytest
import trustme

from collector_service.clock import SystemClock
from collector_service.metrics import Stats
from collector_service.settings import TwitchSettings
from collector_service.twitch.irc_client import ConnectError, Connection

from .irc_double import eventually, irc_double
from .pool_rig import ROOMS, Rig, pool_rig


def close(client):
    client.writer.close()


def reset(client):
    client.writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    client.writer.transport.abort()


@pytest.mark.parametrize(("end", "cause"), [(close, "closed"), (reset, "reset")])
async def test_a_lost_connection_comes_back_and_its_cause_is_known(end, cause):
    async with pool_rig(clock=SystemClock()) as it:
        it.pool.want(["chan0"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1})
        end(it.clients[0])
        await eventually(lambda: len(it.double.clients) == 2)
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1})
        assert it.stats.reconnects == {cause: 1}


async def test_an_unreachable_server_is_known():
    async with pool_rig(clock=SystemClock()) as it:
        it.pool._twitch = TwitchSettings(irc_url="irc://127.0.0.1:1")
        with pytest.raises(ConnectError) as failure:
            await it.pool.connect()
        assert failure.value.cause == "unreachable"


async def test_what_came_just_before_the_server_closed_is_read_when_stopping():
    async with pool_rig(clock=SystemClock()) as it:
        it.pool.want(["chan0"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1})
        lines = "".join(it.line(100, user, f"m{user}", "chan0") + "\r\n" for user in range(100))
        # On the loopback all that happens before the collector looks at its socket again.
        server = it.clients[0].writer.get_extra_info("socket")
        os.write(server.fileno(), lines.encode())
        server.shutdown(socket.SHUT_RDWR)
        await it.pool.stop()
        assert it.messages() == {100: 100}


async def test_a_certificate_of_a_stranger_is_refused(tmp_path):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    async with irc_double(ROOMS, ssl=context) as double:
        url = f"ircs://127.0.0.1:{double.port}"
        listener = Rig(double, SystemClock()).pool
        with pytest.raises(ConnectError) as failure:
            await Connection.connect(TwitchSettings(irc_url=url), listener, Stats())
        assert failure.value.cause == "tls"
        good = await Connection.connect(TwitchSettings(irc_url=url, ca_file=trusted), listener, Stats())
        assert not good.ended.done()
        good.close("stopped")
