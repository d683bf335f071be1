"""The software-defined assets: thin bodies that read, call a pure function, write, and report.

Belongs here: asset definitions, one module per group, and their metadata. Does not belong here: any
computation (``curation``, ``analysis``, ``publish``, ``vod``) and anything about when they run.

Bodies import ``analysis``, ``publish`` and ``vod.round`` themselves: loading the code location, which
Dagster does for every run, tick and page, would otherwise take five times as long.
"""
