"""The command line that the scripts use."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError

from . import adoption, commands, images, plan, rollout, smoke, teardown, tunnel, twitch_secrets
from .platform_on_aws import OperatorError, Platform, say

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
Context = typer.Context
Minutes = Annotated[float, typer.Option(min=0)]
_SMOKE_PAUSE_SECONDS = 15.0


@app.callback()
def main(
    context: Context,
    name: Annotated[str, typer.Option(help="of the deployment")],
    region: Annotated[str, typer.Option()],
) -> None:
    """Calls of AWS for the operators' scripts."""
    context.obj = Platform(name, region)


@app.command()
def account(context: Context) -> None:
    """Show whose account this is."""
    caller = context.obj.client("sts").get_caller_identity()
    print(f"account {caller['Account']}, region {context.obj.region}, as {caller['Arn']}")


@app.command()
def missing_images(context: Context, tag: str) -> None:
    """Print the kinds of images without this tag."""
    print("\n".join(images.missing_images(context.obj, tag)))


@app.command()
def known_tags(context: Context) -> None:
    """Print the tags that can be deployed, newest first."""
    print("\n".join(images.known_tags(context.obj)))


@app.command()
def missing_foundations(context: Context) -> None:
    """Print the missing repositories and secrets of Twitch, with which a deployment begins."""
    found = [*images.missing_repositories(context.obj), *twitch_secrets.missing_secrets(context.obj)]
    print("\n".join(found))


@app.command()
def registry(context: Context) -> None:
    """Print the registry's host."""
    print(images.login(context.obj).registry)


@app.command()
def registry_password(context: Context) -> None:
    """Print the password of the user AWS, for a pipe."""
    print(images.login(context.obj).password)


@app.command()
def secrets_without_value(
    context: Context, keys: Annotated[list[str] | None, typer.Argument()] = None
) -> None:
    """Print those of Twitch's secrets without a value."""
    print("\n".join(twitch_secrets.secrets_without_value(context.obj, keys or [])))


@app.command()
def put_secret(context: Context, key: str) -> None:
    """Store a secret's value from standard input or a prompt."""
    if key not in twitch_secrets.TWITCH:
        raise OperatorError(f"{key} is not one of {', '.join(twitch_secrets.TWITCH)}.")
    changed = twitch_secrets.put_secret(context.obj, key, twitch_secrets.read_value(key))
    say(f"{key} is stored." if changed else f"{key} has this value already.")


@app.command()
def services(context: Context) -> None:
    """Print the kinds of services that exist."""
    print("\n".join(context.obj.services()))


@app.command()
def redeploy(context: Context, kinds: list[str]) -> None:
    """Restart the tasks of services."""
    rollout.redeploy(context.obj, kinds)


@app.command()
def wait(context: Context, minutes: Minutes = 15.0) -> None:
    """Wait until the services run the revisions in Terraform's outputs, which come on standard input."""
    wanted = json.load(sys.stdin).get("task_definitions", {}).get("value", {})
    rollout.wait_until_steady(context.obj, wanted, minutes)


@app.command()
def check_plan() -> None:
    """Refuse a plan (`terraform plan -json`, on standard input) that failed or would destroy data."""
    read = plan.read_plan(sys.stdin)
    if read.errors:
        raise OperatorError("Terraform could not plan; nothing was changed.\n" + "\n".join(read.errors))
    counts = ", ".join(f"{count} to {what}" for what, count in sorted(read.changes.items()))
    say(f"Plan: {counts or 'no change'}")
    if read.lost:
        raise OperatorError(
            "The plan would destroy or replace data; nothing was changed:\n  "
            + "\n  ".join(read.lost)
            + "\nUndo the change of variables or files that causes this; only destroy.sh removes data."
        )


@app.command()
def tainted_data() -> None:
    """Print half-made data resources of a state (`terraform state pull`, on standard input)."""
    text = sys.stdin.read()
    print("\n".join(plan.tainted_data(json.loads(text) if text.strip() else {})))


@app.command()
def adoptable(context: Context, errors: Path) -> None:
    """Print import blocks for resources of a killed run, from an apply's errors and the plan (piped)."""
    rules = adoption.planned_rules(json.load(sys.stdin))
    for address, identifier in adoption.adoptable(context.obj, errors.read_text(), rules).items():
        print(f"import {{\n  to = {address}\n  id = {json.dumps(identifier)}\n}}")


@app.command()
def smoke_test(
    context: Context,
    wait: Annotated[float, typer.Option(min=0, help="minutes to wait until everything works")] = 0.0,
    snapshot_age: Annotated[float, typer.Option(min=0, help="minutes since a window began")] = 20.0,
    vod: Annotated[
        bool | None, typer.Option(help="whether recordings are read; else as the settings say")
    ] = None,
) -> None:
    """Report each part, and end with 1 if one does not work."""
    from vieweratlas_dagster.settings import Settings

    expected = smoke.Expectations(
        snapshot_age=timedelta(minutes=snapshot_age),
        vod=Settings.load().vod.enabled if vod is None else vod,
    )
    deadline = time.monotonic() + 60 * wait
    while True:
        findings = smoke.smoke_test(context.obj, expected, datetime.now(UTC))
        bad = [finding for finding in findings if not finding.ok]
        if not bad or time.monotonic() > deadline:
            break
        say(f"Not yet: {', '.join(finding.part for finding in bad)} ...")
        time.sleep(_SMOKE_PAUSE_SECONDS)
    for finding in findings:
        print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.part}: {finding.text}")
    if bad:
        raise typer.Exit(1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(context: Context, minutes: Minutes = 30.0) -> None:
    """Run a command inside the platform and end with its exit code."""
    raise typer.Exit(commands.run_command(context.obj, context.args, minutes))


@app.command()
def open_tunnel(context: Context, port: int = 3000) -> None:
    """Forward a port of this machine to the webserver."""
    tunnel.exec_tunnel(context.obj, port)


@app.command()
def stop_tasks(context: Context, minutes: Minutes = 10.0) -> None:
    """Stop every task of the deployment."""
    teardown.stop_tasks(context.obj, minutes)


@app.command()
def remove_definitions(context: Context) -> None:
    """Remove the task definitions that Terraform leaves."""
    say(f"{teardown.remove_definitions(context.obj)} revisions of task definitions removed.")


def _main() -> None:
    try:
        app()
    except OperatorError as error:
        say(str(error))
        sys.exit(1)
    except (BotoCoreError, ClientError) as error:
        say(f"AWS: {error}\nCheck that credentials are set (AWS_PROFILE) and may do this.")
        sys.exit(1)


_main()
