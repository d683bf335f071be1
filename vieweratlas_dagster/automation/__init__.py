"""Jobs, schedules and sensors: everything that starts runs, and the upkeep of Dagster's records."""
