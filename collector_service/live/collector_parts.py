"""The parts of one collector, put together from its settings; nothing runs yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from collector_service.lake import Lake
from collector_service.live.intake import Intake
from collector_service.live.journal import Journal
from collector_service.live.key_watch import KeyWatch
from collector_service.live.lake_reads import LakeReadTimings
from collector_service.live.opt_out_watch import OptOutWatch
from collector_service.live.pool import Pool, PoolTimings
from collector_service.live.spool import DiskSpool
from collector_service.live.state_dir import own_collector_id
from collector_service.live.uploader import Uploader, UploaderTimings
from collector_service.live.viewer_keys import ViewerKeys
from collector_service.live.windows import Windows
from collector_service.logins import known_bots
from collector_service.metrics import Stats
from collector_service.privacy.viewer_secret import load_viewer_key_secret
from collector_service.settings import Settings


@dataclass(frozen=True)
class CollectorTimings:
    """Real seconds, unless they say otherwise.

    Attributes:
        finish_seconds: within which the last windows are uploaded at the end.
        status_seconds: between two status lines in the log.
        status_table_world_seconds: between two status tables in the lake, by the clock of the data.
        lag_seconds: between two measurements of the event loop's lag: short enough that a standstill of a
            quarter of a second is always noticed.
        lake_reads: those of the reads that must succeed before anything is collected.
        pool: those of the connections.
        uploader: those of journal and uploads.
    """

    finish_seconds: float = 12.0
    status_seconds: float = 30.0
    status_table_world_seconds: float = 86_400.0
    lag_seconds: float = 0.1
    lake_reads: LakeReadTimings = field(default_factory=LakeReadTimings)
    pool: PoolTimings = field(default_factory=PoolTimings)
    uploader: UploaderTimings = field(default_factory=UploaderTimings)


@dataclass(frozen=True)
class CollectorParts:
    """Everything that one collector consists of.

    Attributes:
        settings: the settings.
        timings: how often and how long.
        lake: the lake.
        stats: counters.
        windows: the open windows.
        intake: counts chat lines into them.
        pool: the connections; its `start` has not been called.
        uploader: takes closed windows to the lake; it has recovered what an earlier process left.
        opt_outs: the opt-outs in force.
        key_watch: compares the viewer key with the lake's.
    """

    settings: Settings
    timings: CollectorTimings
    lake: Lake
    stats: Stats
    windows: Windows
    intake: Intake
    pool: Pool
    uploader: Uploader
    opt_outs: OptOutWatch
    key_watch: KeyWatch

    @classmethod
    def build(
        cls,
        settings: Settings,
        timings: CollectorTimings,
        lake: Lake,
        folder: Path,
        stats: Stats,
        opt_outs: OptOutWatch,
    ) -> CollectorParts:
        """Build the parts around the opt-outs, which can be asked for at any time; reads back the journal.

        Args:
            settings: the settings.
            timings: how often and how long.
            lake: the lake.
            folder: the state folder, of this process alone.
            stats: counters.
            opt_outs: the opt-outs.

        Raises:
            SettingsError: the viewer key, its file or the state folder is unusable.
        """
        collection = settings.collection
        secret = load_viewer_key_secret(settings.privacy)
        viewer_keys = ViewerKeys(secret, known_bots(collection))
        collector_id = collection.collector_id or own_collector_id(folder)
        uploader = Uploader(
            Journal(folder / "journal", collector_id),
            DiskSpool(folder / "spool", lake, collection.spool_max_bytes),
            collector_id,
            stats,
            viewer_keys.user_ids if settings.privacy.raw_identities else None,
            timings=timings.uploader,
        )
        windows = Windows(settings.clock, collection.window_seconds, uploader.recover())
        intake = Intake(windows, viewer_keys, stats)
        return cls(
            settings=settings,
            timings=timings,
            lake=lake,
            stats=stats,
            windows=windows,
            intake=intake,
            pool=Pool(settings.twitch, collection, windows, intake, stats, timings.pool),
            uploader=uploader,
            opt_outs=opt_outs,
            key_watch=KeyWatch(lake, secret, folder, settings.clock, timings.lake_reads),
        )

    @property
    def refresh_seconds(self) -> float:
        """Real seconds between two refreshes of the channel list; setting the clock must not move them."""
        return self.settings.collection.refresh_seconds / self.settings.clock.rate
