"""Everything that talks to Twitch: the live collector, the Twitch clients, and Twitch in a box.

Nothing here imports Dagster, data frames or graph libraries: the collector's image does not contain them.
The computations on the lake are in ``vieweratlas_dagster``.
"""
