"""Parsers and clients of Twitch's endpoints: IRC, Helix and the chat of VODs."""
