"""The Dagster code location and the analysis: everything computed from the lake.

``collector_service`` talks to Twitch. Importing this package imports nothing else; load
``vieweratlas_dagster.definitions`` for the code location.
"""
