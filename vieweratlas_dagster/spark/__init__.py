"""The overlap computation past one machine: a PySpark job, and what starts it.

Belongs here: the job that counts on a cluster (``overlap_job``) and its launch through Dagster Pipes
(``launch``). Does not belong here: what is made of the counts (``analysis.overlap``).
"""
