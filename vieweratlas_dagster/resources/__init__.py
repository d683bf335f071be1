"""The Dagster side of assets: the lake as a resource, catalog metadata, partitions and links."""
