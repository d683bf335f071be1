"""A real S3 API behind a proxy that can fail as networks and S3 itself do.

The scenarios of ``storage`` decide how long it fails.
"""

import asyncio
import itertools
import logging
from collections import Counter
from contextlib import asynccontextmanager
from typing import Literal

import aiohttp
import boto3
from aiohttp import web
from yarl import URL

from tests.s3_api import s3_api

Mode = Literal["pass", "refuse", "hang", "reset", "lose"]
FAULTS = ("refuse", "hang", "reset", "lose")

PREFIX = "vieweratlas/"
# What the collector finds in its environment.
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
_HANG_SECONDS = 300.0
# All servers of a process share their buckets.
_buckets = (f"lake-{number}" for number in itertools.count())
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_HOP_BY_HOP = {"host", "connection", "transfer-encoding", "content-encoding", "content-length"}


class FaultyS3:
    """S3 with a switch.

    ``mode``: ``pass``; ``refuse`` answers 503 SlowDown; ``hang`` never answers; ``reset`` ends the
    connection before S3 hears of the request; ``lose`` does what is asked, but ends the connection instead
    of answering. ``hits`` counts the requests by mode, ``asked`` by method and path.
    """

    def __init__(self, backend: str) -> None:
        self.mode: Mode = "pass"
        self.bucket = next(_buckets)
        self.hits: Counter[str] = Counter()
        self.asked: Counter[tuple[str, str]] = Counter()
        self.url = ""
        self._backend = backend
        self._client = boto3.client(
            "s3",
            endpoint_url=backend,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        self._client.create_bucket(Bucket=self.bucket)

    @property
    def environment(self) -> dict[str, str]:
        """What makes a collector use it."""
        return KEYS | {
            "STORAGE_TYPE": "s3",
            "S3_BUCKET": self.bucket,
            "S3_PREFIX": PREFIX,
            "AWS_ENDPOINT_URL": self.url,
        }

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Key below the lake's root -> bytes of all that begin so, past the proxy. Blocks."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=PREFIX + prefix
        )
        keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        return {
            key.removeprefix(PREFIX): self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            for key in keys
        }

    @asynccontextmanager
    async def _serve(self):
        async with aiohttp.ClientSession(auto_decompress=False) as http:

            async def handle(request: web.Request) -> web.StreamResponse:
                return await self._answer(request, http)

            app = web.Application(client_max_size=2**28)
            app.router.add_route("*", "/{path:.*}", handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _answer(self, request: web.Request, http: aiohttp.ClientSession) -> web.StreamResponse:
        mode = self.mode
        self.hits[mode] += 1
        self.asked[request.method, request.path] += 1
        body = await request.read()
        if mode == "refuse":
            return web.Response(status=503, body=_SLOW_DOWN, content_type="application/xml")
        if mode == "hang":
            await asyncio.sleep(_HANG_SECONDS)
        if mode == "reset":
            return _hang_up(request)
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP
        }
        url = URL(self._backend + request.raw_path, encoded=True)
        async with http.request(request.method, url, headers=headers, data=body) as answer:
            content = await answer.read()
            if mode == "lose":
                return _hang_up(request)
            kept = {
                name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP
            }
            return web.Response(status=answer.status, body=content, headers=kept)


def _hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def faulty_s3():
    """An S3 API with one empty bucket, and the proxy in front of it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = s3_api()
    # Starting and stopping takes time that the simulator's loop does not have.
    backend = await asyncio.to_thread(server.__enter__)
    try:
        s3 = await asyncio.to_thread(FaultyS3, backend)
        async with s3._serve():
            yield s3
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)
