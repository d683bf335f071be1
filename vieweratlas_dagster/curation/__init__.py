"""From raw snapshot records to the curated tables: pure functions that judge lines and merge records."""
