"""A tiny IRC server whose every answer a test decides."""

import asyncio
from contextlib import asynccontextmanager


class Client:
    """A connection as the server sees it: the lines it sent, and a way to answer."""

    def __init__(self, reader, writer):
        self._reader = reader
        self.writer = writer
        self.lines = []
        self.joins = []
        self.closed = asyncio.Event()

    @property
    def nick(self):
        return next(line.split()[1] for line in self.lines if line.startswith("NICK "))

    def send(self, *lines):
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())

    def confirm(self, login, room_id):
        nick = self.nick
        self.send(
            f":{nick}!{nick}@{nick}.tmi.twitch.tv JOIN #{login}",
            f"@room-id={room_id};slow=0 :tmi.twitch.tv ROOMSTATE #{login}",
        )


class Double:
    """Accepts connections; the flags and ``confirms`` say what it answers by itself."""

    def __init__(self, rooms):
        self.rooms = rooms
        self.clients = []
        self.welcome = True
        self.answers_pings = True
        self.confirms = lambda client, login: login in self.rooms
        self.port = 0

    async def serve(self, reader, writer):
        client = Client(reader, writer)
        self.clients.append(client)
        try:
            while line := await reader.readline():
                self.handle(client, line.decode().rstrip())
        except ConnectionError:
            pass
        finally:
            client.closed.set()
            writer.close()

    def handle(self, client, line):
        client.lines.append(line)
        command, _, rest = line.partition(" ")
        if command == "NICK" and self.welcome:
            client.send(f":tmi.twitch.tv 001 {rest} :Welcome, GLHF!")
        elif command == "PING" and self.answers_pings:
            client.send(f":tmi.twitch.tv PONG tmi.twitch.tv {rest}")
        elif command == "JOIN":
            for name in rest.split(","):
                login = name.removeprefix("#")
                client.joins.append((login, asyncio.get_running_loop().time()))
                if self.confirms(client, login):
                    client.confirm(login, self.rooms[login])


@asynccontextmanager
async def irc_double(rooms, **options):
    double = Double(rooms)
    server = await asyncio.start_server(double.serve, "127.0.0.1", 0, **options)
    double.port = server.sockets[0].getsockname()[1]
    try:
        yield double
    finally:
        server.close()
        for client in double.clients:
            client.writer.transport.abort()


async def eventually(condition, seconds=60.0):
    """Wait until ``condition()`` is true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - other processes and threads cannot set an event here
            await asyncio.sleep(seconds / 6000)


def message(room_id, user_id, message_id, sent_ms, channel="chan", text="hi"):
    return (
        f"@badges=;id={message_id};room-id={room_id};tmi-sent-ts={sent_ms};user-id={user_id} "
        f":u{user_id}!u{user_id}@u{user_id}.tmi.twitch.tv PRIVMSG #{channel} :{text}"
    )
