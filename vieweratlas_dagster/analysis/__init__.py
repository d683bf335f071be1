"""From presence to a map: overlap, communities, names, places.

Belongs here: pure functions from tables to tables (the contracts are in ``tables``). Does not belong
here: reading or writing files, Dagster, and every client of the outside world.
"""
