"""Every scenario of the fault matrix, by name."""

from . import interruptions, network, processes, storage

SCENARIOS = network.SCENARIOS | storage.SCENARIOS | processes.SCENARIOS | interruptions.SCENARIOS
