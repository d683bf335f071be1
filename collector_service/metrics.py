"""The collector's counters: plain numbers, cheap enough for the hot path, never per channel or viewer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Histogram


@dataclass
class Stats:
    """Counters since the start of the process."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    messages: Counter[str] = field(default_factory=Counter)
    mirrored: int = 0
    duplicates: int = 0
    opted_out: int = 0
    parse_errors: Counter[str] = field(default_factory=Counter)
    reconnects: Counter[str] = field(default_factory=Counter)
    helix_requests: Counter[str] = field(default_factory=Counter)
    token_expires_at: float | None = None
    refresh_failures: int = 0
    windows_spooled: int = 0
    uploads: int = 0
    upload_failures: int = 0
    journal_failures: int = 0
    spool_failures: int = 0
    recovered_parts: int = 0
    recovered_lost_bytes: int = 0
    spool_files: int = 0
    spool_bytes: int = 0
    spool_oldest: float = 0.0
    spool_thinned: int = 0
    spool_removed: int = 0
    spool_unreadable: int = 0
    event_loop_lag: Histogram = field(init=False)
    join_latency: Histogram = field(init=False)
    window_flush: Histogram = field(init=False)

    def __post_init__(self) -> None:
        self.event_loop_lag = Histogram(
            "vieweratlas_event_loop_lag_seconds",
            "How late the event loop is with what is due",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
            registry=self.registry,
        )
        self.join_latency = Histogram(
            "vieweratlas_join_latency_seconds",
            "From a JOIN to Twitch's confirmation",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
            registry=self.registry,
        )
        self.window_flush = Histogram(
            "vieweratlas_window_flush_seconds",
            "From the close of a window to its object in the spool",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
            registry=self.registry,
        )
