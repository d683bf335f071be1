"""Everything that talks to Twitch: the live collector, the Twitch clients, and Twitch in a box.

Belongs here: IRC, Helix and VOD-chat clients, the snapshot record and lake layout that the
collector promises to readers, the long-running service, and the simulator.
Does not belong here: anything computed *from* the lake (that is ``vieweratlas_dagster``), and any
import of Dagster, data frames or graph libraries; the collector's image carries none of them.
"""
