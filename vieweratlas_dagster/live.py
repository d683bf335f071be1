"""`vieweratlas live`: the collector on the real Twitch, then the map of what came in.

Belongs here: running the two after each other with one data folder. Does not belong here: either of them.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from collector_service.settings import DEFAULT_CONFIG, SettingsError

DEFAULT_CHANNELS_FILE = Path("config/channels.txt")


def run_live(data_dir: Path, channels_file: Path | None, config: Path | None, console: Console) -> int:
    """Collect until SIGINT or SIGTERM, then run the daily job for the days that were collected.

    Without Twitch credentials the channels come from ``channels_file`` (default config/channels.txt).

    Returns:
        The collector's exit code when it is not 0, else 0 when every day could be mapped.

    Raises:
        SettingsError: a setting is wrong.
    """
    from collector_service.service import run
    from vieweratlas_dagster.automation.launch import analyze_days
    from vieweratlas_dagster.settings import Settings

    root = data_dir.resolve()
    # Environment rather than arguments, so that `make ui` and a restart see the same places.
    os.environ.setdefault("LAKE_DIR", str(root / "lake"))
    os.environ.setdefault("COLLECTOR_STATE_DIR", str(root / "collector"))
    os.environ.setdefault("VIEWER_KEY_FILE", str(root / "viewer_key.secret"))
    os.environ.setdefault("DAGSTER_HOME", str(root / "dagster"))
    settings = Settings.load(config)
    has_credentials = bool(settings.twitch.client_id)
    chosen = settings.collection.channels or settings.collection.channels_file
    if channels_file or not (has_credentials or chosen):
        path = channels_file or DEFAULT_CHANNELS_FILE
        if not path.exists():
            raise SettingsError(f"no channels file {path}; make one with a login a line")
        settings = Settings.load(config, {"collection": {"channels_file": path}})
    console.print(
        f"Collecting into {root}/lake until Ctrl-C ({config or DEFAULT_CONFIG}) ...", soft_wrap=True
    )
    first = datetime.now(UTC).date()
    if code := run(settings):
        return code
    outcomes = list(
        analyze_days(settings, first, datetime.now(UTC).date(), Path(os.environ["DAGSTER_HOME"]))
    )
    for outcome in outcomes:
        for problem in outcome.failures:
            console.print(problem, style="red", soft_wrap=True, markup=False)
    if not all(outcome.success for outcome in outcomes):
        return 1
    console.print(f"The atlas: {root}/lake/curated/analysis/latest/atlas.html", soft_wrap=True)
    console.print(f"Next: make ui DATA={data_dir}")
    return 0
