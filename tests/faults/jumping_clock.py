"""The collector on a machine whose system clock can be set: ``python jumping_clock.py FILE ARGUMENTS``.

FILE holds the seconds, a little-endian double, by which ``time.time`` differs from the real one; it may
change at any moment. The monotonic clock goes on undisturbed, as on a real machine.

``machine`` writes the file.
"""

import mmap
import runpy
import struct
import sys
import time

if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    real = time.time
    time.time = lambda: real() + struct.unpack_from("<d", offset)[0]
    sys.argv = sys.argv[1:]
    runpy.run_module("collector_service", run_name="__main__", alter_sys=True)
