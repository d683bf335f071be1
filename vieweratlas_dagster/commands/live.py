"""`vieweratlas live`: the collector on the real Twitch, then the map of what came in.

Belongs here: running the two after each other with one data folder. Does not belong here: either of them.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from rich.console import Console

from collector_service.clock import utc
from collector_service.contract import live_day_prefix
from collector_service.lake import Lake
from collector_service.live.channel_list import NoChannelsError, given_logins, needs_helix
from collector_service.settings import Settings as CollectorSettings
from collector_service.settings import SettingsError
from vieweratlas_dagster.lake.keys import LATEST_PREFIX, analysis_key

DEFAULT_CHANNELS_FILE = Path("config/channels.txt")


# A session at the terminal ends when its user says so, and needs no port.
_SESSION = {"max_runtime_hours": 0, "max_collection_cycles": 0, "http_port": 0}


def run_live(data_dir: Path, channels_file: Path | None, config: Path | None, console: Console) -> int:
    """Collect until SIGINT or SIGTERM, then run the daily job for the days that have live data.

    Without Twitch credentials the channels come from ``channels_file`` (default config/channels.txt).

    Returns:
        The collector's exit code when it is not 0, else 0 when every day could be mapped.

    Raises:
        SettingsError: a setting is wrong.
    """
    from collector_service.live.service import run
    from vieweratlas_dagster.commands.run_jobs import analyze_days, days_between
    from vieweratlas_dagster.settings import Settings

    root = data_dir.resolve()
    # Environment rather than arguments, so that `make ui` and a restart see the same places.
    os.environ.setdefault("LAKE_DIR", str(root / "lake"))
    os.environ.setdefault("COLLECTOR_STATE_DIR", str(root / "collector"))
    os.environ.setdefault("VIEWER_KEY_FILE", str(root / "viewer_key.secret"))
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(root / "dagster")))
    settings = Settings.load(config, {"collection": _SESSION | _channels(config, channels_file)})
    given_logins(settings.collection)
    lake = Lake.open(settings.storage)
    console.print(f"Collecting into {lake.uri} until Ctrl-C ...", soft_wrap=True, highlight=False)
    began = utc(settings.clock.now()).date()
    if code := run(settings):
        return code
    today = utc(settings.clock.now()).date()
    if not any(lake.objects(live_day_prefix(day.isoformat())) for day in days_between(began, today)):
        console.print(
            f"Nothing was collected from {settings.twitch.irc_url}; see the lines above and run "
            "`vieweratlas doctor`.",
            style="red",
            soft_wrap=True,
            highlight=False,
        )
        return 1
    # The collector's log set-up lets every library speak.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    mapped = False
    for outcome in analyze_days(settings, began, today, home):
        for problem in (*outcome.failures, *outcome.failed_checks):
            console.print(problem, style="red", soft_wrap=True, markup=False)
        if not outcome.success:
            return 1
        mapped = lake.exists(analysis_key(outcome.partition, "atlas.html"))
    if not mapped or not lake.exists(f"{LATEST_PREFIX}atlas.html"):
        console.print("Nothing could be mapped yet: no channel has enough viewers. Collect for longer.")
        return 0
    console.print(f"The atlas: {lake.uri}/{LATEST_PREFIX}atlas.html", soft_wrap=True, highlight=False)
    console.print(f"Next: make ui DATA={data_dir}")
    return 0


def _channels(config: Path | None, channels_file: Path | None) -> dict[str, object]:
    """What the command line and the fallback say about the channels, as overrides of collection."""
    if channels_file is None:
        try:
            settings = CollectorSettings.load(config)
            needs_helix(settings.twitch, settings.collection)
        except NoChannelsError:
            channels_file = DEFAULT_CHANNELS_FILE
        else:
            return {}
    if not channels_file.exists():
        raise SettingsError(f"no channels file {channels_file}; make one with a login a line")
    return {"channels": (), "channels_file": channels_file}
