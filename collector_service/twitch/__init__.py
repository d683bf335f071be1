"""Twitch's protocols: what its IRC, Helix and VOD-chat endpoints say, and how to ask them.

Belongs here: parsing and clients, one module per endpoint. Does not belong here: which channels are
wanted, counting, windows and files (the service's modules one level up).
"""
