"""`vieweratlas live`: run the collector on the real Twitch, then map the collected days."""

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


# A session at the terminal ends on Ctrl-C and needs no port.
_SESSION = {"max_runtime_hours": 0, "max_collection_cycles": 0, "http_port": 0}


def run_live(data_dir: Path, channels_file: Path | None, config: Path | None, console: Console) -> int:
    """Collect until SIGINT or SIGTERM, then run the daily job for the days that have live data.

    Without Twitch credentials the channels come from ``channels_file`` (default config/channels.txt).

    Returns:
        The collector's exit code if it is not 0; otherwise 0 when every day could be mapped.

    Raises:
        SettingsError: a setting is wrong.
    """
    from collector_service.live.service import run
    from vieweratlas_dagster.commands.run_jobs import analyze_days, days_between
    from vieweratlas_dagster.settings import Settings

    root = data_dir.resolve()
    # The same folders as `make ui` uses; variables of the user win.
    environment = {
        "LAKE_DIR": str(root / "lake"),
        "COLLECTOR_STATE_DIR": str(root / "collector"),
        "VIEWER_KEY_FILE": str(root / "viewer_key.secret"),
        "DAGSTER_HOME": str(root / "dagster"),
    } | dict(os.environ)
    channels = _channels(CollectorSettings.load(config, environment=environment), channels_file)
    settings = Settings.load(config, {"collection": _SESSION | channels}, environment)
    given_logins(settings.collection)
    lake = Lake.open(settings.storage)
    console.print(f"Collecting into {lake.uri} until Ctrl-C ...", soft_wrap=True, highlight=False)
    began = utc(settings.clock.now()).date()
    if code := run(settings):
        return code
    today = utc(settings.clock.now()).date()
    if not any(lake.objects(live_day_prefix(day.isoformat())) for day in days_between(began, today)):
        console.print(
            f"Nothing was collected from {settings.twitch.irc_url}: see the log above, and run "
            "`vieweratlas doctor`.",
            style="red",
            soft_wrap=True,
            highlight=False,
        )
        return 1
    # The collector's logging setup shows the messages of all libraries.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    mapped = False
    for outcome in analyze_days(settings, began, today, Path(environment["DAGSTER_HOME"])):
        for problem in (*outcome.failures, *outcome.failed_checks):
            console.print(problem, style="red", soft_wrap=True, markup=False)
        if not outcome.success:
            return 1
        mapped = lake.exists(analysis_key(outcome.partition, "atlas.html"))
    if not mapped or not lake.exists(f"{LATEST_PREFIX}atlas.html"):
        console.print("No map yet: no channel has enough viewers. Collect for longer.")
        return 0
    console.print(f"The atlas: {lake.uri}/{LATEST_PREFIX}atlas.html", soft_wrap=True, highlight=False)
    console.print(f"Next: make ui DATA={data_dir}")
    return 0


def _channels(settings: CollectorSettings, channels_file: Path | None) -> dict[str, object]:
    """Overrides of ``collection`` from the command line or the default channels file."""
    if channels_file is None:
        try:
            needs_helix(settings.twitch, settings.collection)
        except NoChannelsError:
            channels_file = DEFAULT_CHANNELS_FILE
        else:
            return {}
    if not channels_file.exists():
        raise SettingsError(f"no channels file {channels_file}; create it with one login per line")
    return {"channels": (), "channels_file": channels_file}
