"""VOD chat without Dagster: which past broadcasts to read, the queue of them, and a run over it.

Belongs here: discovery, the queue and its storage, one run, and the import of chat files. Does not
belong here: assets and schedules (``assets``), how Twitch is asked (``collector_service.twitch``).
"""
