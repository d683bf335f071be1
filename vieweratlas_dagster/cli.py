"""The ``vieweratlas`` command: arguments, results, and exit codes (0 done, 1 failed, 2 misuse).

Every command calls one function elsewhere, imported only when needed so that ``--help`` is quick.
"""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from collector_service.settings import CONFIG_VARIABLE, DEFAULT_CONFIG, SettingsError
from vieweratlas_dagster.commands.terminal import ConfigOption, console, errors, exit_codes
from vieweratlas_dagster.commands.vod import vod
from vieweratlas_dagster.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(vod, name="vod")


def _version(wanted: bool) -> None:
    if wanted:
        console.print(version("vieweratlas"), highlight=False)
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Maps the communities of live-stream channels from the audiences they share."""


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="A different seed makes a different world.")] = 1,
    channels: Annotated[int, typer.Option(min=20, max=5000)] = 300,
    viewers: Annotated[int, typer.Option(min=500, max=500_000)] = 20_000,
    days: Annotated[int, typer.Option(min=1, max=30, help="Simulated days.")] = 3,
    data_dir: Annotated[Path, typer.Option(help="The folder for all results; emptied first.")] = Path(
        "data/demo"
    ),
    dagster_home: Annotated[
        Path | None,
        typer.Option(
            help="Your own Dagster instance for the runs; it is not emptied.  "
            "\\[default: dagster/ in the data folder]",
            show_default=False,
        ),
    ] = None,
    mark: Annotated[
        str,
        typer.Option(
            help="a-z, 0-9; it appears in the names of all simulated viewers and in all their messages, so "
            "that you can search the results for it: docs/DATA_POLICY.md",
        ),
    ] = "",
    config: Annotated[
        Path | None,
        # Not the file in VIEWERATLAS_CONFIG, which may be the settings of the previous demo.
        typer.Option(help=f"Settings to start from.  \\[default: {DEFAULT_CONFIG}]", show_default=False),
    ] = None,
) -> None:
    """Run the whole platform on a simulated Twitch and compare the result with the truth."""
    from collector_service.simulator.world import MARK
    from vieweratlas_dagster.commands.demo.run import run_demo
    from vieweratlas_dagster.commands.demo.stage import DemoError, DemoOptions

    first_day = datetime.now(UTC).date() - timedelta(days=days)
    options = DemoOptions(seed, channels, viewers, days, data_dir, first_day, dagster_home, mark)
    base = config or DEFAULT_CONFIG
    if not MARK.fullmatch(mark):
        raise typer.BadParameter(
            f"{mark!r} must be at most 10 characters of a-z and 0-9", param_hint="--mark"
        )
    with exit_codes(DemoError):
        Settings.load(base)
        if not run_demo(options, base, console):
            raise typer.Exit(1)


@app.command()
def collect(config: ConfigOption = None) -> None:
    """Run the live collector until it is stopped."""
    from collector_service.live.service import run
    from collector_service.settings import Settings as CollectorSettings

    with exit_codes():
        raise typer.Exit(run(CollectorSettings.load(config)))


@app.command()
def live(
    data_dir: Annotated[Path, typer.Option(help="The folder for all data.")] = Path("data/live"),
    channels_file: Annotated[
        Path | None,
        typer.Option(
            help="Logins, one per line.  "
            "\\[default: config/channels.txt, unless there are Twitch credentials]",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Collect from the real Twitch until Ctrl-C, then make a map of the data."""
    from vieweratlas_dagster.commands.live import run_live

    with exit_codes():
        raise typer.Exit(run_live(data_dir, channels_file, config, console))


@app.command()
def analyze(
    day: Annotated[
        str,
        typer.Option(
            "--day", "--from", help="A UTC day: YYYY-MM-DD, today or yesterday; or the first of several."
        ),
    ] = "yesterday",
    to: Annotated[str, typer.Option(help="The last day of a range; days are made oldest first.")] = "",
    config: ConfigOption = None,
) -> None:
    """Run the daily job for a day (or a range of days) in this process."""
    from vieweratlas_dagster.commands.analyze import analyze_and_print

    with exit_codes():
        settings = Settings.load(config)
        first = _day(day, settings)
        last = _day(to, settings) if to else first
        if last < first:
            raise typer.BadParameter(f"--to {last} is before --from {first}")
        storage = settings.storage
        if storage.type == "file" and not storage.dir.is_dir():
            raise SettingsError(
                f"{storage.dir} does not exist; collect or import first, or name a different lake: the "
                f"settings file by --config or {CONFIG_VARIABLE}, or its folder by LAKE_DIR"
            )
        if not analyze_and_print(settings, first, last):
            raise typer.Exit(1)


@app.command()
def ui(
    data_dir: Annotated[Path, typer.Option(help="A data folder: of demo, of live, or your own.")] = Path(
        "data/demo"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
) -> None:
    """Open the Dagster UI (webserver and daemon) on a data folder, until Ctrl-C."""
    from vieweratlas_dagster.commands.run_jobs import exec_ui

    with exit_codes(OSError):
        exec_ui(data_dir, port)


@app.command("map")
def map_(
    edges: Annotated[Path, typer.Option(help="CSV[.gz]: source,target,shared_viewers (or weight).")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for the results; created if missing. An earlier result in it is replaced."
        ),
    ],
    nodes: Annotated[
        Path | None, typer.Option(help="CSV[.gz]: channel[,viewers][,game_name][,language].")
    ] = None,
    resolution: Annotated[
        float | None,
        typer.Option(
            help="Resolution of the communities' modularity: 1 is standard, higher values make them "
            "smaller.  "
            "\\[default: the likeliest]",
            show_default=False,
        ),
    ] = None,
    previous: Annotated[
        Path | None,
        typer.Option(
            help="Folder of an earlier result; its ids, names, colours and places are kept where they fit."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="The same seed and input give the same files.  \\[default: analysis.seed]",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Your own names for communities: see config/labels.yaml.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Make the whole atlas from your own overlap list, without a lake or Dagster."""
    from vieweratlas_dagster.analysis.communities import ClusteringOptions
    from vieweratlas_dagster.commands.map_list import map_overlap_list
    from vieweratlas_dagster.imports.csv_rows import FileError
    from vieweratlas_dagster.imports.labels import LabelsFileError

    with exit_codes(FileError, LabelsFileError):
        given = {"resolution": resolution, "seed": seed}
        wanted = {name: value for name, value in given.items() if value is not None}
        settings = Settings.load(config, {"analysis": wanted})
        with console.status("reading, clustering, drawing"):
            facts = map_overlap_list(
                edges,
                nodes,
                out,
                options=ClusteringOptions.of(settings.analysis),
                min_shared_published=settings.privacy.min_shared_published,
                previous_dir=previous,
                labels_path=labels,
            )
        for name, value in facts.items():
            shown = f"{value:.4g}" if isinstance(value, float) else value
            console.print(f"{name.replace('_', ' '):<24} {shown}", highlight=False, soft_wrap=True)
        console.print(f"[bold]The atlas:[/bold] {out / 'atlas.html'}", soft_wrap=True)


@app.command("import")
def import_(
    day: Annotated[str, typer.Option("--date", help="The UTC day of the presence rows: YYYY-MM-DD.")] = "",
    presence: Annotated[Path | None, typer.Option(help="CSV[.gz]: channel,viewer.")] = None,
    channels: Annotated[
        Path | None, typer.Option(help="CSV[.gz]: channel[,channel_id][,game_name][,language].")
    ] = None,
    vod_json: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE",
            help="Chat from TwitchDownloaderCLI: a file (.json or .json.gz), a folder of them, or "
            "lake:PREFIX for files in the lake. May be given several times.",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Import presence rows or the chat of recordings into the lake, where the daily job finds them."""
    if vod_json and (presence or channels or day):
        raise typer.BadParameter("--vod-json brings its own dates and channels; use it alone")
    if not vod_json and not (presence and day):
        raise typer.BadParameter("give either --presence with --date, or --vod-json")
    from collector_service.twitch.vod_json import ChatJsonError
    from vieweratlas_dagster.commands.import_files import import_chats, import_rows
    from vieweratlas_dagster.imports.csv_rows import FileError

    with exit_codes(ChatJsonError, FileError):
        settings = Settings.load(config)
        if presence:
            import_rows(settings, _day(day, settings), presence, channels)
        elif not import_chats(settings, vod_json or ()):
            raise typer.Exit(1)


@app.command()
def forget(
    viewer: Annotated[
        str | None,
        typer.Option(
            metavar="LOGIN_OR_ID",
            help="A viewer: the numeric user id, or the login, which is looked up at Twitch with your "
            "credentials. Digits are an id.",
        ),
    ] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="LOGIN_OR_ID", help="A channel: its login or numeric id.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted removal.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; write nothing.")] = False,
    old_key_file: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="With --viewer: a file with a viewer key from before a rotation; may be given several "
            "times. Keys that rotate-key has retired beside the present key are found without it.",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Remove a viewer or a channel from all stored data, and keep it out."""
    from vieweratlas_dagster.commands.forget import FORGET_ERRORS, forget_subject

    if (viewer is not None) + (channel is not None) + resume != 1 or (resume and dry_run):
        raise typer.BadParameter(
            "exactly one of --viewer, --channel and --resume; --dry-run with the first two"
        )
    if old_key_file and viewer is None:
        raise typer.BadParameter("--old-key-file needs --viewer")
    with exit_codes(*FORGET_ERRORS):
        forget_subject(
            Settings.load(config),
            viewer=viewer,
            channel=channel,
            dry_run=dry_run,
            old_key_files=old_key_file or (),
        )


@app.command("rotate-key")
def rotate_key(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    drop_viewer_opt_outs: Annotated[
        bool,
        typer.Option(
            "--drop-viewer-opt-outs",
            help="Continue although viewers have opted out: their entries do not apply to the new key.",
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Start a new population of viewers with a new key; earlier viewers cannot be compared with it."""
    from vieweratlas_dagster.commands.rotate_key import rotate

    with exit_codes():
        settings = Settings.load(config)
        if not yes:
            typer.confirm(
                "All viewers will look new from now onwards. This cannot be undone. Continue?",
                abort=True,
            )
        for line in rotate(settings, drop_viewer_opt_outs=drop_viewer_opt_outs):
            console.print(line, soft_wrap=True, highlight=False, markup=False)


@app.command()
def retention(config: ConfigOption = None) -> None:
    """Show the age, size and retention rule of all stored data; exit code 1 if any of it is overdue."""
    from vieweratlas_dagster.commands.retention import print_report

    with exit_codes():
        if not print_report(Settings.load(config), console):
            raise typer.Exit(1)


@app.command()
def doctor(config: ConfigOption = None) -> None:
    """Check settings, lake, viewer key, atlas page, Dagster and Twitch, and advise."""
    from vieweratlas_dagster.commands.doctor import print_findings

    with exit_codes():
        if not print_findings(Settings.load(config), console):
            raise typer.Exit(1)


def _day(text: str, settings: Settings) -> date:
    today = datetime.fromtimestamp(settings.clock.now(), UTC).date()
    if text in ("today", "yesterday"):
        return today - timedelta(days=text == "yesterday")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a day; expected YYYY-MM-DD, today or yesterday"
        ) from None
    first = settings.analysis.first_day
    if not first <= day <= today:
        raise typer.BadParameter(f"{day} is not between {first} (analysis.first_day) and {today} (today)")
    return day


def main() -> None:
    """Entry point of the ``vieweratlas`` command."""
    try:
        app()
    except KeyboardInterrupt:
        errors.print("stopped")
        sys.exit(130)
