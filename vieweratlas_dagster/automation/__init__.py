"""When things run: partitions, jobs, schedules.

Belongs here: everything about time and triggering. Does not belong here: what runs (``assets``).
"""
