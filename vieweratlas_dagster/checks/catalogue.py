"""All checks.

Belongs here: the list that the code location takes. Does not belong here: any check.
"""

from vieweratlas_dagster.checks import contracts, days, freshness, maps

# Schema first: what the other checks say about a table that breaks its contract means less.
ALL_CHECKS = (*freshness.CHECKS, *contracts.CHECKS, *days.CHECKS, *maps.CHECKS)
