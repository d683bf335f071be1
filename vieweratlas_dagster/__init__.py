"""The Dagster code location and the analysis: everything computed from the lake.

Belongs here: assets, checks, schedules, the pure analysis, publishing, the ``vieweratlas`` command.
Does not belong here: talking to Twitch (that is ``collector_service``). Importing this package
imports nothing else; load ``vieweratlas_dagster.definitions`` for the code location.
"""
