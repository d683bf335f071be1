"""AWS for tests of the operators' scripts: moto, with running tasks, sessions and a list of requests."""

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SESSION = {"SessionId": "operator-1", "TokenValue": "a-session-token", "StreamUrl": "wss://127.0.0.1/"}
READS = re.compile(r"Describe|Get|List|Assume|BatchGet|BatchCheck|Filter|Lookup|HEAD|Simulate")
Answer = dict[str, Any]


@dataclass
class Front:
    """How the services fare, and what was asked.

    ``fate``: "healthy", "unhealthy" (running, but not well), "taken back" (the circuit breaker
    put the earlier revision back) or "starting". ``before`` gets each operation's name before moto sees it.
    """

    endpoint: str = ""
    fate: str = "healthy"
    operations: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda _: None
    capacities: dict[str, Any] = field(default_factory=dict)

    def writes(self) -> list[str]:
        """The operations that were asked for and change something."""
        return [operation for operation in self.operations if not READS.match(operation)]

    def answer(self, operation: str, asked: Answer) -> Answer | None:
        """An answer that moto would not give."""
        if operation in ("CreateService", "UpdateService") and "capacityProviderStrategy" in asked:
            # Which moto forgets.
            name = asked.get("serviceName", asked.get("service"))
            self.capacities[name] = [{"base": 0} | one for one in asked["capacityProviderStrategy"]]
        if operation == "StartSession":
            return SESSION
        if operation == "ListTasks" and "serviceName" in asked:
            wanted = asked.get("desiredStatus", "RUNNING")
            there = {"healthy": "RUNNING", "unhealthy": "RUNNING", "taken back": "STOPPED"}.get(self.fate)
            return {"taskArns": [_task(asked["serviceName"])] if wanted == there else []}
        if operation == "DescribeTasks" and any("/of-service-" in arn for arn in asked["tasks"]):
            return {"tasks": [self._described(arn) for arn in asked["tasks"]], "failures": []}
        return None

    def _described(self, arn: str) -> Answer:
        stopped = self.fate == "taken back"
        container = {"name": "webserver", "runtimeId": "1234-5678"}
        return {
            "taskArn": arn,
            "lastStatus": "STOPPED" if stopped else "RUNNING",
            "healthStatus": "UNHEALTHY" if self.fate == "unhealthy" else "HEALTHY",
            "group": "service:x",
            "stoppedReason": "Essential container in task exited",
            "containers": [
                container | ({"exitCode": 137, "reason": "OutOfMemoryError"} if stopped else {})
            ],
        }

    def correct(self, operation: str, given: Answer) -> Answer:
        """What ECS would say of services, from what moto says."""
        if operation == "DescribeServices":
            for service in given["services"]:
                self._correct_service(service)
        return given

    def _correct_service(self, service: Answer) -> None:
        starting = self.fate == "starting"
        running = 0 if starting else service["desiredCount"]
        service |= {"runningCount": running, "pendingCount": service["desiredCount"] - running}
        service["capacityProviderStrategy"] = self.capacities.get(service["serviceName"], [])
        [deployment] = service["deployments"]
        deployment |= {
            "taskDefinition": service["taskDefinition"],
            "rolloutState": "IN_PROGRESS" if starting else "COMPLETED",
            "runningCount": running,
        }
        if self.fate == "taken back":
            family, _, revision = service["taskDefinition"].rpartition(":")
            deployment["taskDefinition"] = f"{family}:{int(revision) - 1}"
            service["events"] = [{"id": "1", "createdAt": 0, "message": "rolling back to deployment 1."}]


def _task(service: str) -> str:
    return f"arn:aws:ecs:us-east-1:123456789012:task/vieweratlas/of-service-{service}"


@contextmanager
def front_of(moto: str) -> Iterator[Front]:  # noqa: C901 - a class in a function
    """Serve, in front of the moto at ``moto``, as long as the block lasts."""
    front, behind = Front(), urlsplit(moto).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_request(self) -> None:
            body = self._body()
            operation, asked = self._operation(body)
            front.before(operation)
            front.operations.append(operation)
            if (answer := front.answer(operation, asked)) is not None:
                self._reply(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(answer))
                return
            connection = http.client.HTTPConnection(behind, timeout=120)
            headers = {name: value for name, value in self.headers.items() if name != "Transfer-Encoding"}
            connection.request(self.command, self.path, body, headers)
            got = connection.getresponse()
            data = got.read()
            connection.close()
            if operation == "DescribeServices" and got.status == 200:
                data = json.dumps(front.correct(operation, json.loads(data))).encode()
            self._reply(got.status, dict(got.getheaders()), data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_request  # noqa: N815 - the server's names

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _operation(self, body: bytes) -> tuple[str, Answer]:
            if target := self.headers.get("X-Amz-Target"):
                return target.rsplit(".", 1)[-1], json.loads(body or b"{}")
            if "/operation/" in self.path:
                return self.path.rsplit("/", 1)[-1], {}
            if action := parse_qs(body.decode("latin-1")).get("Action"):
                return action[0], {}
            return {"GET": "Get"}.get(self.command, self.command), {}

        def _reply(self, status: int, headers: dict[str, str], data: bytes | str) -> None:
            data = data.encode() if isinstance(data, str) else data
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in (
                    "content-length",
                    "transfer-encoding",
                    "connection",
                    "server",
                    "date",
                ):
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        front.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield front
        server.shutdown()
        thread.join()
