"""Every parser of untrusted input against damaged and hostile bytes: ``make fuzz``.

A parser fails when it raises anything but its documented error, takes more than 5 seconds for one input,
or lets memory grow beyond its bound. The input is kept in build/fuzz/; ``--only PARSER --input FILE`` runs
it again. All parsers run in one child process, so that even a crash is told with its input.
"""

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

HANGS_SECONDS = 5.0
_STOPPED_SECONDS = 20.0
_KEPT = Path("build/fuzz")
_ROOT = Path(__file__).resolve().parents[2]


class StoppedError(BaseException):
    """The alarm has rung."""


def main() -> int:
    options = argparse.ArgumentParser(prog="make fuzz", description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=300.0, help="for all parsers together")
    options.add_argument("--seed", default="1", help="the same seed gives the same inputs")
    options.add_argument("--only", help="parsers whose name holds this")
    options.add_argument("--input", type=Path, help="run this one input only")
    options.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        return _run(given)
    with tempfile.TemporaryDirectory(prefix="vieweratlas-fuzz-") as scratch:
        place = Path(scratch)
        command = [sys.executable, "-m", "tests.security.fuzz", *sys.argv[1:], "--child", scratch]
        try:
            with (place / "stderr").open("wb") as noise:  # what Rust says of what it throws
                code = subprocess.run(
                    command, cwd=_ROOT, timeout=2 * given.seconds + 300, stderr=noise
                ).returncode
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        current = place / "current"
        if code not in (0, 1, 2) and current.exists():
            name, _, data = current.read_bytes().partition(b"\n")
            print(
                f"{name.decode()}: the process ended with {code}; input kept: {_keep(name.decode(), data)}"
            )
        if code not in (0, 1):
            print((place / "stderr").read_text(errors="replace")[-2000:])
        return 0 if code == 0 else 1


def _run(given: argparse.Namespace) -> int:
    from tests.security.mutation import inputs
    from tests.security.parsers import PARSERS

    chosen = [parser for parser in PARSERS if not given.only or given.only in parser.name]
    if not chosen:
        print(f"no parser is called {given.only}: there are {', '.join(one.name for one in PARSERS)}")
        return 2
    print(
        f"{'parser':28} {'inputs':>8} {'refused':>8} {'seconds':>8} {'inputs/s':>9} {'worst':>8} "
        f"{'of bytes':>9} {'MB more':>8}"
    )
    signal.signal(signal.SIGALRM, _stop)
    total, begun = 0, time.perf_counter()
    failures: list[str] = []
    for parser in chosen:
        with tempfile.TemporaryDirectory(dir=given.child) as scratch:
            if given.input:
                stream = iter([given.input.read_bytes()])
            else:
                stream = inputs(f"{given.seed}:{parser.name}", parser.kind, parser.samples())
            parse = parser.made(Path(scratch))
            total += _try(parser, parse, stream, given.seconds / len(chosen), given.child, failures)
    took = time.perf_counter() - begun
    print(f"{total} inputs for {len(chosen)} parsers in {took:.0f} s, seed {given.seed}")
    for failure in failures:
        print(failure)
    print(f"{len(failures)} failures" if failures else "no parser failed")
    return 1 if failures else 0


def _try(parser, parse, stream, seconds, scratch, failures) -> int:
    """One parser until its time is over, but all of its samples and bombs in any case."""
    count = refused = 0
    worst, worst_size = 0.0, 0
    known: set[str] = set()
    current = os.open(scratch / "current", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    before = _reset_peak()
    begun = time.perf_counter()
    for data in stream:
        if count >= parser.at_least and time.perf_counter() - begun >= seconds:
            break
        count += 1
        os.ftruncate(current, 0)
        os.pwrite(current, parser.name.encode() + b"\n" + data, 0)
        signal.setitimer(signal.ITIMER_REAL, _STOPPED_SECONDS)
        start, problem = time.thread_time(), ""
        try:
            parse(data)
        except parser.errors as error:
            refused += 1
            if len(str(error)) > 2000:
                problem = f"an error text of {len(str(error))} characters"
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - also what Rust throws
            where = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in where if "/.venv/" not in frame.filename]
            frame = (own or where)[-1]
            problem = (
                f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}: {str(error)[:120]}"
            )
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        took = time.thread_time() - start
        if took > HANGS_SECONDS and not problem:
            problem = f"took {took:.1f} s"
        if took > worst:
            worst, worst_size = took, len(data)
        grown = _peak() - before
        if grown > parser.memory_mb and not problem:
            problem = f"memory grew by {grown:.0f} MB, more than {parser.memory_mb}"
            before = _reset_peak()
        place = problem.split(": ")[0]
        if problem and place not in known:
            known.add(place)
            failures.append(f"{parser.name}: {problem}; input kept: {_keep(parser.name, data)}")
    took = time.perf_counter() - begun
    os.close(current)
    print(
        f"{parser.name:28} {count:8} {refused:8} {took:8.1f} {count / took:9.0f} {worst:8.3f} "
        f"{worst_size:9} {_peak() - before:8.0f}",
        flush=True,
    )
    return count


def _stop(*_: object) -> None:
    raise StoppedError(f"still not done after {_STOPPED_SECONDS:.0f} s")


def _keep(name: str, data: bytes) -> Path:
    _KEPT.mkdir(parents=True, exist_ok=True)
    path = _KEPT / f"{name.replace(' ', '_')}-{hashlib.sha256(data).hexdigest()[:8]}"
    path.write_bytes(data)
    return path


def _reset_peak() -> float:
    """Begin to measure anew; what is in memory now, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


if __name__ == "__main__":
    sys.exit(main())
