"""Calls of AWS by boto3 for the operators' scripts, one module for each job: `python -m ops --help`."""
