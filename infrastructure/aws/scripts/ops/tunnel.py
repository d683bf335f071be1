"""A way to the webserver, which listens on its own loopback only: Session Manager forwards a port."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any, NoReturn

from .platform_on_aws import OperatorError, Platform, say

_DOCUMENT = "AWS-StartPortForwardingSession"
_WEBSERVER_PORT = 3000
_PLUGIN = "session-manager-plugin"
# The plugin reads the session from the variable that its first argument names: every process can read a
# command line.
_VARIABLE = "AWS_SSM_START_SESSION_RESPONSE"


def target(platform: Platform) -> str:
    """Session Manager's name of the webserver's container.

    Raises:
        OperatorError: it is not running.
    """
    arns = platform.ecs.list_tasks(cluster=platform.name, serviceName=platform.full_name("dagster"))[
        "taskArns"
    ]
    tasks = platform.ecs.describe_tasks(cluster=platform.name, tasks=arns)["tasks"] if arns else []
    for task in tasks:
        for container in task["containers"]:
            if container["name"] == "webserver" and container.get("runtimeId"):
                return f"ecs:{platform.name}_{task['taskArn'].rsplit('/', 1)[-1]}_{container['runtimeId']}"
    raise OperatorError("The webserver is not running; run smoke-test.sh for details.")


def exec_tunnel(platform: Platform, port: int) -> NoReturn:
    """Become the plugin that forwards ``port`` of this machine until Ctrl-C.

    Raises:
        OperatorError: the plugin is missing, or the webserver is not running.
    """
    if shutil.which(_PLUGIN) is None:
        raise OperatorError(
            f"{_PLUGIN} (newer than 1.2.497) is not installed: docs.aws.amazon.com/systems-manager, "
            '"Install the Session Manager plugin".'
        )
    request: dict[str, Any] = {
        "Target": target(platform),
        "DocumentName": _DOCUMENT,
        "Parameters": {"portNumber": [str(_WEBSERVER_PORT)], "localPortNumber": [str(port)]},
    }
    ssm = platform.client("ssm")
    session = ssm.start_session(**request)
    say(f"http://127.0.0.1:{port} is the webserver until Ctrl-C.")
    os.environ[_VARIABLE] = json.dumps(
        {key: session[key] for key in ("SessionId", "TokenValue", "StreamUrl")}
    )
    profile = os.environ.get("AWS_PROFILE", "")
    os.execvp(  # noqa: S606 - no shell wanted
        _PLUGIN,
        [
            _PLUGIN,
            _VARIABLE,
            platform.region,
            "StartSession",
            profile,
            json.dumps(request),
            ssm.meta.endpoint_url,
        ],
    )
