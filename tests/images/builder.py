"""Buildah for tests: images are built, and their programs run, without a container engine."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BASE = "python:3.11-slim-bookworm"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# What the official image holds and our Dockerfiles use.
_PACKAGES = "python3,python3-pip,ca-certificates,passwd"


class Builder:
    """Builds and runs images; `close` removes them."""

    def __init__(self, folder: Path) -> None:
        """Keep everything in ``folder``."""
        self._folder = folder
        self._store = [f"--root={folder}/store", f"--runroot={folder}/run"]

    def base(self) -> None:
        """Get the base image: the official one, or its like of Debian's packages where no registry is."""
        pulled = subprocess.run(
            [*self._buildah(), "pull", "--quiet", f"docker.io/library/{BASE}"],
            capture_output=True,
            timeout=120,
        )
        if pulled.returncode == 0:
            self.call("tag", f"docker.io/library/{BASE}", f"localhost/{BASE}")
            return
        context = self._folder / "base"
        context.mkdir()
        unwanted = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")]
        options = ["--quiet", "--mode=root", "--variant=apt", f"--include={_PACKAGES}", *unwanted]
        subprocess.run(
            ["mmdebstrap", *options, "--dpkgopt=force-unsafe-io", "bookworm", context / "base.tar"],
            check=True,
        )
        # Whoever looks into this machine's traffic does so for npm, too.
        (context / "Dockerfile").write_text(
            f"FROM scratch\nADD base.tar /\nENV NODE_EXTRA_CA_CERTS={_CERTIFICATES}\n"
        )
        self.call("build", "--isolation=chroot", "--quiet", f"--tag={BASE}", str(context))

    def build(self, kind: str) -> str:
        """Build infrastructure/docker/``kind``.Dockerfile as `build.sh` does; returns the image's name."""
        name = f"localhost/vieweratlas-{kind}:test"
        options = ["--isolation=chroot", "--format=docker", "--pull-never", f"--tag={name}"]
        options += [f"--volume={path}:{target}:ro" for path, target in _pip_of_this_machine().items()]
        file = f"--file={ROOT}/infrastructure/docker/{kind}.Dockerfile"
        self.call("build", *options, file, str(ROOT))
        return name

    def inspect(self, image: str) -> dict[str, Any]:
        """What the image says of itself."""
        found: dict[str, Any] = json.loads(self.call("inspect", "--type=image", image))
        return found

    def megabytes(self, container: str) -> float:
        """What a container's image takes, unpacked."""
        root = self.call("mount", container).strip()
        done = subprocess.run(["du", "-sxm", root], check=True, capture_output=True, text=True)
        return float(done.stdout.split()[0])

    def start(self, image: str) -> str:
        """A container of the image, for `run`."""
        return self.call("from", "--pull-never", image).strip()

    def run(self, container: str, *command: str, volume: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in it, as the image's user."""
        volumes = [f"--volume={volume}"] if volume else []
        return subprocess.run(
            [*self._buildah(), "run", "--isolation=chroot", *volumes, container, "--", *command],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def close(self) -> None:
        """Remove all containers and images."""
        self.call("rm", "--all")
        self.call("rmi", "--all", "--force")
        shutil.rmtree(self._folder, ignore_errors=True)

    def call(self, *arguments: str) -> str:
        """What buildah prints; it must succeed."""
        done = subprocess.run([*self._buildah(), *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
        return done.stdout

    def _buildah(self) -> list[str]:
        return ["buildah", *self._store]


def _pip_of_this_machine() -> dict[str, str]:
    """What pip needs inside to install as it does outside: its settings, local folders, certificates."""
    mounts = {os.environ.get("SSL_CERT_FILE", _CERTIFICATES): _CERTIFICATES}
    for settings in (
        Path("/etc/pip.conf"),
        Path.home() / ".config/pip/pip.conf",
        Path.home() / ".pip/pip.conf",
    ):
        if settings.exists():
            mounts[str(settings)] = "/etc/pip.conf"
            for word in settings.read_text().replace("file://", " ").split():
                path = Path(word)
                # The parent: an index is a folder below the one with its files.
                if path.is_absolute() and path.is_dir():
                    folder = path.parent if path.name == "simple" else path
                    mounts[str(folder)] = str(folder)
    return {path: target for path, target in mounts.items() if Path(path).exists()}
