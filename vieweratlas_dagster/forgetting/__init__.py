"""Forgetting a viewer or a channel: out of everything that was written, and kept out.

Belongs here: who is meant, what holds them, rewriting it, old versions on S3, and the ledger. Does not
belong here: leaving somebody out of what is collected (``collector_service``) and making graphs again
(``automation``).
"""
