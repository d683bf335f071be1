"""Asset checks: thin checks of freshness and quality that read a result and call a pure rule."""
