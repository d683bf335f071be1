"""A disk that refuses, by the kernel's own limit on the size of a file."""

import resource
import signal
from contextlib import contextmanager


@contextmanager
def full_disk(limit=0):
    """Within the context, a file of this process may not grow beyond ``limit`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
