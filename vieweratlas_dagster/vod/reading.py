"""Reading the chat of one leased VOD, page by page, into its raw objects.

An object that is written before the end has exactly the comments before a whole second, so that a later
attempt resumes there without losing or repeating a comment. Comments of the second that is being read wait.
"""

from __future__ import annotations

from collections.abc import Collection

from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OptOuts
from collector_service.twitch.vod_chat import CommentPage, VodComment
from collector_service.twitch.vod_records import VodWindows
from vieweratlas_dagster.vod import queue
from vieweratlas_dagster.vod.queue import Kept, VodItem
from vieweratlas_dagster.vod.queue_store import QueueStore
from vieweratlas_dagster.vod.raw_objects import stored_chat, write_chat


class VodReading:
    """One attempt at one VOD.

    Attributes:
        start: the second at which the source must begin.
        reached: all of the VOD before this second has been read.
        windows: the counts.
        earlier: how many of the counted comments are from earlier attempts.
        written: keys of the objects that were written.
        before_key: windows of days before the present viewer key; they are not written.
    """

    def __init__(
        self,
        lake: Lake,
        item: VodItem,
        *,
        window_seconds: int,
        secret: str,
        bots: Collection[str],
        opt_outs: OptOuts,
    ) -> None:
        """Resume where the last attempt ended, if the lake still has exactly its comments."""
        self._lake = lake
        self._secret = secret
        self._opt_outs = opt_outs
        self._item = item
        self._waiting: list[VodComment] = []
        self._passed_over = 0
        self.windows = VodWindows(
            item.vod,
            window_seconds=window_seconds,
            secret=secret,
            bots=bots,
            opted_out=opt_outs.viewer_keys,
        )
        self.start = 0
        stored = stored_chat(lake, item.vod)
        # Measured, not taken from the queue: objects may have expired, or an import may have added some.
        since, until = stored.covered or (0.0, 0.0)
        self._had = (round(until - since, 3), stored.messages)
        resume = item.resume_seconds
        if resume and stored.covers(0, resume) and stored.is_within(0, resume):
            self.windows.resume(stored.records)
            self.start = resume
        self.reached = float(self.start)
        self.earlier = self.windows.comments
        self.written: set[str] = set()
        self.before_key = 0

    def add(self, page: CommentPage) -> None:
        """Count a page's comments, except those of the second that it ends in."""
        self.reached = page.coverage_seconds
        self._passed_over = page.passed_over
        self._waiting += page.comments
        self._count(before=int(self.reached))

    def finish(self) -> Kept:
        """Write the whole chat; returns the part in the lake.

        Raises:
            LeaseLostError: the VOD was taken over; its objects were not overwritten.
        """
        self._count(before=float("inf"))
        return self._write(Kept(self.reached, self.windows.comments, self.windows.viewers))

    def keep(self, *, last: bool = False) -> Kept | None:
        """Write the part read so far, unless the lake had as much when this attempt began.

        Args:
            last: no attempt will follow, so the comments of the unfinished second are written too.

        Returns:
            The part in the lake; None when nothing was written.

        Raises:
            LeaseLostError: see `finish`.
        """
        coverage, resume = float(int(self.reached)), int(self.reached)
        if last or self._passed_over:
            self._count(before=float("inf"))
            coverage, resume = self.reached, 0
        kept = Kept(coverage, self.windows.comments, self.windows.viewers, resume)
        return self._write(kept) if (kept.coverage_seconds, kept.comments) > self._had else None

    def _write(self, kept: Kept) -> Kept:
        records = self.windows.records((0.0, kept.coverage_seconds))
        written = write_chat(
            self._lake,
            self._item.vod_id,
            records,
            secret=self._secret,
            opt_outs=self._opt_outs,
            permitted=self._must_be_leased,
        )
        self.written.update(written.keys)
        self.before_key = written.before_key
        return kept

    def _must_be_leased(self) -> None:
        # A process may sleep longer than its lease between any two steps.
        queue.current_lease(QueueStore(self._lake).load(), self._item)

    def _count(self, *, before: float) -> None:
        waiting, self._waiting = self._waiting, []
        for comment in waiting:
            if comment.offset_seconds < before:
                self.windows.add(comment)
            else:
                self._waiting.append(comment)
