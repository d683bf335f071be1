"""Readers of files that people bring: overlap lists, memberships, names for communities."""
