"""The collector's check that its viewer key is the lake's: before it collects, and again while it does."""

from __future__ import annotations

import logging
from pathlib import Path

from collector_service.clock import Clock, utc
from collector_service.lake import LAKE_ERRORS, Lake
from collector_service.live.lake_reads import LakeReadTimings, read_before_collecting, read_within
from collector_service.privacy.populations import (
    agree,
    compare,
    fingerprint,
    populations,
    refuse_if_lost,
)
from collector_service.privacy.viewer_secret import given_viewer_key_secret
from collector_service.settings import PrivacySettings, SettingsError
from collector_service.support.durable_files import replace_file
from collector_service.support.threads import brief, in_daemon_thread

_SUBJECT = "the lake's viewer key"
_log = logging.getLogger(__name__)


async def refuse_if_lost_before_collecting(
    privacy: PrivacySettings, lake: Lake, timings: LakeReadTimings
) -> None:
    """Like `refuse_if_lost`, for the collector: without a key it waits for the lake.

    Raises: see `refuse_if_lost`.
    """
    if given_viewer_key_secret(privacy) is None:
        await read_before_collecting(
            lambda: refuse_if_lost(privacy, lake), _SUBJECT, has_copy=False, timings=timings
        )


class KeyWatch:
    """Compares the collector's viewer key with the lake's, and keeps a copy of the result.

    Args:
        lake: the lake.
        secret: VIEWER_KEY_SECRET.
        folder: the collector's own folder, for the copy.
        clock: the clock of the data: the first day that a new key counts.
        timings: how long a read of the lake may take.
    """

    def __init__(
        self,
        lake: Lake,
        secret: str,
        folder: Path,
        clock: Clock,
        timings: LakeReadTimings,
    ) -> None:
        self._lake = lake
        self._secret = secret
        self._fingerprint = fingerprint(secret)
        self._path = folder / "viewer_key.json"
        self._clock = clock
        self._timings = timings

    async def before_collecting(self) -> None:
        """Like `agree`, but waits for the lake, unless a copy of an earlier start has the same key.

        Raises:
            WrongKeyError: the lake's viewers were counted with a different key.
            SettingsError: the lake's record is unusable.
        """
        today = utc(self._clock.now()).date()
        try:
            await read_before_collecting(
                lambda: agree(self._lake, self._secret, today),
                _SUBJECT,
                has_copy=self._copy() == self._fingerprint,
                timings=self._timings,
            )
        except LAKE_ERRORS as error:
            _log.warning(
                "cannot read the lake (%s); the viewer key is that of the last start", brief(error)
            )
            return
        try:
            replace_file(self._path, [self._fingerprint.encode() + b"\n"])
        except OSError as error:
            _log.warning("cannot write %s: %s", self._path, error.strerror)

    async def again(self) -> None:
        """Compare again, since a rotation may have changed the lake's key; a lake that is away is ignored.

        Raises:
            WrongKeyError: the lake's viewers are counted with a different key.
        """
        try:
            known = await read_within(self._timings.read_seconds, lambda: populations(self._lake))
        except (*LAKE_ERRORS, SettingsError) as error:
            problem = error if isinstance(error, SettingsError) else brief(error)
            _log.error("could not check whether the viewer key still matches the lake: %s", problem)
            return
        await in_daemon_thread(lambda: compare(self._fingerprint, known, self._lake.uri))

    def _copy(self) -> str | None:
        try:
            return self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
