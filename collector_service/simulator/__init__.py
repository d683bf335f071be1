"""Twitch in a box: the real protocols (IRC, Helix, OAuth, GraphQL) over a planted world.

Belongs here: a server to develop, demonstrate and test against, and the truth about what it did. Does
not belong here: anything that reads Twitch. The collector must not be able to tell it from the real thing,
so nothing outside imports this package except demos and tests.
"""
