"""Alerts: people get one message about a failure, and one when it is over.

``run_log`` reads the ends of runs and checks, ``incidents`` decides which messages are due, ``messages``
words them, ``delivery`` sends them, ``heartbeat`` shows that all this is alive, and ``watch`` does one
round.
"""
