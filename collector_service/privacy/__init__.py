"""Viewer keys, their populations and the opt-outs: how people may appear in the lake."""
