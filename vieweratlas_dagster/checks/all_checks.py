"""All checks of the code location."""

from vieweratlas_dagster.checks import contracts, days, freshness, maps

# Schema first: verdicts of the other checks mean less for a table that breaks its contract.
ALL_CHECKS = (*freshness.CHECKS, *contracts.CHECKS, *days.CHECKS, *maps.CHECKS)
