"""A real S3 API on this machine, for tests that run in one process with it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer


@contextmanager
def s3_api() -> Iterator[str]:
    """The address of an S3 API without buckets; all of a process share their buckets."""
    with _conditions_that_hold():
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        try:
            yield f"http://{host}:{port}"
        finally:
            server.stop()


@contextmanager
def _conditions_that_hold() -> Iterator[None]:
    """No other object is put between a conditional put's check and its writing.

    S3 promises that (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html). Moto
    checks and writes in two steps, between which another thread's write is lost.
    """
    one_at_a_time = threading.Lock()
    put = S3Response.put_object

    def put_alone(self: S3Response) -> Any:
        with one_at_a_time:
            return put(self)

    with mock.patch.object(S3Response, "put_object", put_alone):
        yield
