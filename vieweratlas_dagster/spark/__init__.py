"""The overlap computation on a Spark cluster: the PySpark job and its launch through Dagster Pipes."""
