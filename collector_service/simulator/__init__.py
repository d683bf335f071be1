"""Twitch in a box: the real protocols (IRC, Helix, OAuth, GraphQL) over a planted world.

Only demos and tests import this package: to the collector it looks like the real Twitch.
"""
