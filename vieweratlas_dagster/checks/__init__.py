"""Asset checks: freshness of the data, and quality of what was made from it.

Belongs here: thin checks that read a result and call a pure rule. Does not belong here: repairs, and
alerts about failed checks.
"""
