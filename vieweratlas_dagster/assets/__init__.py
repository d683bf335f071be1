"""The software-defined assets: thin bodies that read, call a pure function, write, and report.

Each group has a module. Computation is in ``curation``, ``analysis``, ``publish`` and ``vod``.

Bodies import ``analysis``, ``publish`` and ``vod.collecting`` themselves: loading the code location, which
Dagster does for every run, tick and page, would otherwise take five times as long.
"""
