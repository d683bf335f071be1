"""Strict readers of the user's own files: overlap lists, presence rows, names for communities."""
