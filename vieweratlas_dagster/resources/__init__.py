"""What assets are given to work with: the lake, the settings.

Belongs here: Dagster resources. Does not belong here: their implementation (``collector_service``).
"""
