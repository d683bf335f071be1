"""From presence to a map: overlap, communities, names, places.

Pure functions from tables to tables; the contracts are in ``tables``. Files, Dagster and every client of
the outside world stay out, which a contract of the imports holds.
"""
