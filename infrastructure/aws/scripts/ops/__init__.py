"""What the operators' scripts ask of AWS, by boto3: `python -m ops --help`.

Belongs here: calls that bash would do badly, one module for each job. Does not belong here: the order of a
deployment (the scripts beside this folder), what there is (Terraform), and the platform's own code.
"""
