"""An event loop whose time jumps to the next timer, and whose connections are in memory.

Tests with the marker ``virtual_time`` run on it. Time stands still while code runs, and while a thread owes
the loop a result: an outcome never depends on how busy the machine is.
"""

import asyncio
import selectors
import threading
from collections import deque

from collector_service.support.threads import in_daemon_thread

# 2026-03-04 00:00:00 UTC; the loop's clock begins at 0.
EPOCH = 1_772_582_400.0
# Real seconds between two looks at the threads that owe a result.
_POLL_SECONDS = 0.001
_LATENCY_SECONDS = 0.001
_CHUNK_BYTES = 64 * 1024

_hanging = set()


class Hang:
    """A disk or a lake that hangs: a thread that waits here owes nothing until `end`."""

    def __init__(self):
        self._ended = threading.Event()

    def wait(self):
        _hanging.add(threading.current_thread())
        try:
            assert self._ended.wait(60)
        finally:
            _hanging.discard(threading.current_thread())

    def end(self):
        self._ended.set()


class LoopClock:
    """The world's clock on the running loop's time; ``ahead`` sets it."""

    def __init__(self, rate=1.0):
        self.rate = rate
        self.ahead = 0.0

    def now(self):
        return EPOCH + self.ahead + asyncio.get_running_loop().time() * self.rate


class _Selector(selectors.DefaultSelector):
    """Asks the loop before it waits."""

    loop = None

    def select(self, timeout=None):
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if self.loop.is_owed():
            return super().select(_POLL_SECONDS)
        if timeout is None:
            return super().select(None)
        if events := super().select(0):
            return events
        self.loop.now += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The loop; ``now`` is its time in seconds."""

    def __init__(self):
        self.now = 0.0
        self._owed = set()
        self._servers = {}
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self):
        return self.now

    def is_owed(self):
        """Whether a thread is about to bring a result."""
        daemons = [thread for thread in threading.enumerate() if thread.name == in_daemon_thread.__name__]
        return len(self._owed) + len(daemons) > len(_hanging)

    def run_in_executor(self, executor, func, *args):
        future = super().run_in_executor(executor, func, *args)
        self._owed.add(future)
        future.add_done_callback(self._owed.discard)
        return future

    async def create_server(self, protocol_factory, host=None, port=None, **_):
        return _Server(self._servers, protocol_factory, port or 40_000 + len(self._servers))

    async def create_connection(self, protocol_factory, host=None, port=None, **_):
        if port not in self._servers:
            raise ConnectionRefusedError(f"nothing listens on port {port} in memory")
        protocols = protocol_factory(), self._servers[port]()
        ours, theirs = (_Transport(self, protocol) for protocol in protocols)
        ours.peer, theirs.peer = theirs, ours
        for transport in (theirs, ours):
            transport.protocol.connection_made(transport)
        return ours, protocols[0]


class _Server:
    """What `asyncio.start_server` returns, as far as the doubles use it."""

    def __init__(self, servers, protocol_factory, port):
        self._servers = servers
        self._port = port
        self.sockets = [self]
        servers[port] = protocol_factory

    def getsockname(self):
        return "127.0.0.1", self._port

    def close(self):
        self._servers.pop(self._port, None)


class _Transport(asyncio.Transport):
    """One end of a connection in memory: what is sent arrives in order, in chunks, a moment later."""

    def __init__(self, loop, protocol):
        super().__init__()
        self._loop = loop
        self._on_the_way = deque()
        self._closing = False
        self._lost = False
        self.protocol = protocol
        self.peer = None

    def get_protocol(self):
        return self.protocol

    def set_protocol(self, protocol):
        self.protocol = protocol

    def is_closing(self):
        return self._closing

    def is_reading(self):
        return not self._lost

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def get_write_buffer_size(self):
        return 0

    def write(self, data):
        if not self._closing:
            for begin in range(0, len(data), _CHUNK_BYTES):
                self._send(self.peer._receive, bytes(data[begin : begin + _CHUNK_BYTES]))

    def close(self):
        """End both sides; the other one reads everything that was written before."""
        self._end(None)

    def abort(self):
        self._end(None)

    def reset(self):
        """End both sides, the other one with an error."""
        self._end(ConnectionResetError("reset"))

    def _end(self, peer_error):
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._lose, None)
            self._send(self.peer._lose, peer_error)

    def _send(self, deliver, content):
        self._on_the_way.append((deliver, content))
        self._loop.call_later(_LATENCY_SECONDS, self._arrive)

    def _arrive(self):
        deliver, content = self._on_the_way.popleft()
        deliver(content)

    def _receive(self, data):
        if not self._closing:
            self.protocol.data_received(data)

    def _lose(self, error):
        self._closing = True
        if not self._lost:
            self._lost = True
            self.protocol.connection_lost(error)
