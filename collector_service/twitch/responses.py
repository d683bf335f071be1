"""HTTP responses with a limit on their bytes."""

from __future__ import annotations

import aiohttp

# Twitch's answers have about 100 KB.
MAX_ANSWER_BYTES = 2 * 1024 * 1024


class BoundedResponse(aiohttp.ClientResponse):
    """An HTTP answer of at most `MAX_ANSWER_BYTES`, counted after unpacking."""

    async def read(self) -> bytes:
        """The body.

        Raises:
            aiohttp.ClientPayloadError: it is longer.
        """
        if self._body is None:
            body = bytearray()
            async for piece in self.content.iter_any():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    self.close()
                    raise aiohttp.ClientPayloadError(f"more than {MAX_ANSWER_BYTES} bytes")
            self._body = bytes(body)
        return await super().read()
