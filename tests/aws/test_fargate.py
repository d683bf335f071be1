"""What the launcher makes of its configuration."""

import pytest
import yaml
from dagster._config import process_config

from vieweratlas_dagster.automation.fargate import FargateRunLauncher

from .deployment import AWS


def launcher(s3_endpoint, monkeypatch, **environment):
    values = {"SUBNETS": "subnet-a, subnet-b", "SECURITY_GROUPS": "sg-1", "CLUSTER": "va"} | environment
    for name, value in values.items():
        monkeypatch.setenv(f"DAGSTER_RUN_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    config = yaml.safe_load((AWS / "dagster.yaml").read_text())["run_launcher"]["config"]
    # Needs a task definition that exists; the deployment's test has one.
    del config["task_definition"]
    return FargateRunLauncher.from_config_value(
        None, process_config(FargateRunLauncher.config_type(), config).value
    )


def test_the_network_comes_from_the_environment(s3_endpoint, monkeypatch):
    arguments = launcher(s3_endpoint, monkeypatch).run_task_kwargs
    assert arguments == {
        "cluster": "va",
        "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": ["subnet-a", "subnet-b"],
                "securityGroups": ["sg-1"],
                "assignPublicIp": "ENABLED",
            }
        },
    }


@pytest.mark.parametrize(("name", "key"), [("SUBNETS", "subnets"), ("SECURITY_GROUPS", "security_groups")])
def test_an_empty_network_stops_the_start(name, key, s3_endpoint, monkeypatch):
    with pytest.raises(ValueError, match=rf"run_launcher\.config\.{key} .* is empty"):
        launcher(s3_endpoint, monkeypatch, **{name: " , "})
