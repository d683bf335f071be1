"""From raw snapshot records to the curated tables, as pure functions.

Belongs here: judging raw objects line by line, and merging records into presence and channel rows.
Does not belong here: lake access, Dagster, and anything about pairs of channels (``analysis``).
"""
