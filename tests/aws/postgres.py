"""A real PostgreSQL for tests, with TLS, in a temporary folder and on a free port."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme


@dataclass(frozen=True)
class PostgresServer:
    """Where the server listens, and who may come in; its data are in ``folder``."""

    port: int
    password: str
    folder: Path
    user: str = "dagster"
    database: str = "postgres"
    host: str = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _programs() -> Path:
    on_path = shutil.which("pg_ctl")
    if on_path:
        return Path(on_path).parent
    # Debian keeps the server's programs off the PATH.
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not installed:
        raise RuntimeError(
            "no PostgreSQL server here: run `bash infrastructure/setup/needs.sh postgres` first"
        )
    return installed[-1].parent


def _identity() -> dict[str, Any]:
    """Who the server runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = known.get("postgres") or known["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A new, empty server, stopped and removed afterwards."""
    programs, identity = _programs(), _identity()
    # Not pytest's folder: that is closed to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="va-postgres-"))
    server = PostgresServer(free_port(), "not:a/secret?", folder)
    certificate = trustme.CA().issue_cert(server.host)
    certificate.private_key_pem.write_to_path(folder / "server.key")
    certificate.cert_chain_pems[0].write_to_path(folder / "server.crt")
    (folder / "password").write_text(server.password)
    (folder / "server.key").chmod(0o600)
    if identity:
        for path in (folder, *folder.iterdir()):
            os.chown(path, identity["user"], identity["group"])

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [programs / program, "-D", folder / "data", *arguments],
            # The server inherits the output: a pipe would never end.
            stdout=(folder / "log").open("ab"),
            stderr=subprocess.STDOUT,
            cwd=folder,
            check=False,
            **identity,
        )
        assert done.returncode == 0, (folder / "log").read_text()

    options = {
        "port": server.port,
        "listen_addresses": server.host,
        "unix_socket_directories": folder,
        "fsync": "off",
        "ssl": "on",
        "ssl_cert_file": folder / "server.crt",
        "ssl_key_file": folder / "server.key",
    }
    try:
        run(
            "initdb",
            "--no-sync",
            f"--username={server.user}",
            "--auth=scram-sha-256",
            f"--pwfile={folder}/password",
        )
        run(
            "pg_ctl", "start", "-w", "-o", " ".join(f"-c {name}={value}" for name, value in options.items())
        )
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            run("pg_ctl", "stop", "-m", "immediate")
        shutil.rmtree(folder)
