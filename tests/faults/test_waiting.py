"""Measuring how long a busy machine keeps programs waiting."""

import asyncio
import os
import subprocess
import sys
import time

from .waiting import Waiting, waited

SPIN = "import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"


def spin(seconds):
    """Start a process that wants a processor all the time, on the first that this one may use."""
    processor = str(min(os.sched_getaffinity(0)))
    program = [sys.executable, "-c", SPIN.format(seconds=seconds)]
    return subprocess.Popen(["taskset", "-c", processor, *program])


def test_programs_that_share_a_processor_wait_for_each_other():
    both = [spin(2.0), spin(2.0)]
    time.sleep(1.5)
    shared = [waited(one.pid) for one in both]
    for one in both:
        one.wait()
    assert sum(shared) > 0.3
    assert waited(both[0].pid) == 0.0


async def test_the_longest_wait_counts_this_loop_and_the_processes():
    waiting = Waiting()
    both = [spin(1.5), spin(1.5)]
    measuring = asyncio.ensure_future(waiting.measure(lambda: [one.pid for one in both]))
    await asyncio.sleep(1.0)
    theirs = waiting.longest
    time.sleep(0.5)  # noqa: ASYNC251 - the loop is to stand still
    await asyncio.sleep(0.2)
    measuring.cancel()
    for one in both:
        one.wait()
    assert theirs > 0.2
    assert waiting.longest > theirs + 0.3
