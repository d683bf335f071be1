"""Helpers without any knowledge of Twitch or the lake: limits, retries, threads, durable files, YAML."""
