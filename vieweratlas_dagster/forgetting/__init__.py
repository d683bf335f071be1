"""Forgetting a viewer or a channel: removing it from everything that was written, and keeping it out.

The collector and the assets skip subjects that have opted out; ``automation`` makes graphs again.
"""
