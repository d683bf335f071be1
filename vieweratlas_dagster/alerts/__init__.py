"""Alerts: what broke reaches people once, and so does the news that it is over.

``history`` reads what runs and checks reported, ``incidents`` decides what is due, ``messages`` words it,
``delivery`` sends it, ``heartbeat`` shows that all this is alive, and ``watch`` does one round of it.

Belongs here: everything between Dagster's event log and a person. Does not belong here: what counts as
bad data (``checks``), and when a round happens (``automation.sensors``).
"""
