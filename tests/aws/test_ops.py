"""What the operators' scripts conclude from what Terraform and ECS say."""

import json
from typing import Any

import boto3
import pytest

from .fargate_double import REGION

pytestmark = pytest.mark.usefixtures("ops")


def planned(action: str, address: str, module: str = "") -> str:
    kind = address.removeprefix(f"{module}.").split(".")[0]
    resource = {"addr": address, "module": module, "resource_type": kind}
    return json.dumps({"type": "planned_change", "change": {"action": action, "resource": resource}})


def test_a_plan_is_counted_and_lost_data_are_named():
    from ops.plan import read_plan

    value = "module.viewer_key.aws_secretsmanager_secret_version.this"
    plan = read_plan(
        [
            json.dumps({"type": "version"}),
            planned("create", "aws_ecs_cluster.this"),
            planned("update", "aws_s3_bucket.lake"),
            planned("delete", "aws_iam_role.old"),
            planned("replace", "aws_db_instance.dagster"),
            planned("delete", value, "module.viewer_key"),
            planned("read", "data.aws_vpc.this"),
        ]
    )
    assert plan.changes == {"create": 1, "update": 1, "delete": 2, "replace": 1}
    assert plan.lost == ("aws_db_instance.dagster", value)
    assert plan.errors == ()


def test_what_keeps_terraform_from_planning_is_told():
    from ops.plan import read_plan

    bad = {"severity": "error", "summary": "Invalid value", "detail": "image_tag: latest is refused."}
    warning = bad | {"severity": "warning"}
    lines = [json.dumps({"type": "diagnostic", "diagnostic": each}) for each in (warning, bad)]
    assert read_plan(lines).errors == ("Invalid value. image_tag: latest is refused.",)


def test_half_made_data_are_found_and_nothing_else():
    from ops.plan import tainted_data

    def resource(kind: str, name: str, *instances: dict[str, Any], **more: str) -> dict[str, Any]:
        return {"mode": "managed", "type": kind, "name": name, "instances": list(instances)} | more

    tainted = {"status": "tainted"}
    state = {
        "resources": [
            resource("aws_db_instance", "dagster", tainted),
            resource("aws_s3_bucket", "lake", {}),
            resource("aws_iam_role", "task", tainted),
            resource("aws_ecr_repository", "image", {"index_key": "a"}, tainted | {"index_key": "b"}),
            resource("aws_secretsmanager_secret", "this", tainted, module="module.viewer_key"),
        ]
    }
    assert tainted_data(state) == [
        "aws_db_instance.dagster",
        'aws_ecr_repository.image["b"]',
        "module.viewer_key.aws_secretsmanager_secret.this",
    ]
    assert tainted_data({}) == []


ERRORS = """
Error: creating RDS DB Instance (adopt): DBInstanceAlreadyExists: exists

  with aws_db_instance.dagster,
  on database.tf line 8, in resource "aws_db_instance" "dagster":

Error: creating Secrets Manager Secret (adopt/viewer_key): ResourceExistsException: already exists.

  with module.viewer_key.aws_secretsmanager_secret.this,
  on modules/drawn_secret/main.tf line 33

Error: creating Security Group (adopt-run): InvalidGroup.Duplicate: already exists

  with aws_security_group.this["run"],
  on network.tf line 42

Error: creating ECS Service (adopt-dagster): Creation of service was not idempotent.

  with aws_ecs_service.this["dagster"],
  on services.tf line 11

Error: creating VPC Security Group Rule

  with aws_vpc_security_group_egress_rule.https,
  on network.tf line 50

InvalidPermission.Duplicate: the specified rule already exists

Error: creating VPC Security Group Rule

  with aws_vpc_security_group_egress_rule.chat,
  on network.tf line 50

InvalidPermission.Duplicate: the specified rule already exists

Error: creating IAM Role (adopt-run-task): AccessDenied: not authorized

  with module.run.aws_iam_role.task,
  on modules/task/main.tf line 90

Error: creating IAM Role (somebody-s): EntityAlreadyExists: Role with name somebody-s already exists.

  with aws_iam_role.other,
  on x.tf line 1
"""


def test_what_a_killed_run_made_is_recognised_and_what_is_somebody_else_s_is_not(s3_endpoint, monkeypatch):
    from ops.adoption import adoptable, planned_rules
    from ops.platform_on_aws import Platform

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    made = boto3.client("secretsmanager", region_name=REGION).create_secret(Name="adopt/viewer_key")
    ec2 = boto3.client("ec2", region_name=REGION)
    group = ec2.create_security_group(GroupName="adopt-run", Description="runs")["GroupId"]
    ports = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    made_rule = ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[ports])
    [rule] = made_rule["SecurityGroupRules"]
    wanted = {"security_group_id": group, "ip_protocol": "tcp", "cidr_ipv4": "0.0.0.0/0"}
    kind = "aws_vpc_security_group_egress_rule"

    def change(name: str, port: int) -> dict[str, Any]:
        after = wanted | {"from_port": port, "to_port": port, "referenced_security_group_id": None}
        return {"address": f"{kind}.{name}", "type": kind, "change": {"after": after}}

    changes = [change("https", 443), change("chat", 6697)]
    rules = planned_rules({"resource_changes": [*changes, {"type": "aws_iam_role"}]})
    assert adoptable(Platform("adopt", REGION), ERRORS, rules) == {
        "aws_db_instance.dagster": "adopt",
        "module.viewer_key.aws_secretsmanager_secret.this": made["ARN"],
        'aws_security_group.this["run"]': group,
        'aws_ecs_service.this["dagster"]': "adopt/adopt-dagster",
        f"{kind}.https": rule["SecurityGroupRuleId"],
    }
    assert adoptable(Platform("adopt", REGION), "", rules) == {}


def deployment(revision: int, rollout: str, status: str = "PRIMARY") -> dict[str, str]:
    arn = f"arn:aws:ecs:us-east-1:1:task-definition/x-dagster:{revision}"
    return {"status": status, "taskDefinition": arn, "rolloutState": rollout}


@pytest.mark.parametrize(
    ("deployments", "running", "state"),
    [
        ([deployment(2, "COMPLETED")], 1, "steady"),
        ([deployment(2, "IN_PROGRESS")], 1, "under way"),
        ([deployment(2, "COMPLETED")], 0, "under way"),
        ([deployment(2, "COMPLETED"), deployment(1, "COMPLETED", "ACTIVE")], 1, "under way"),
        ([deployment(1, "IN_PROGRESS"), deployment(2, "FAILED", "ACTIVE")], 1, "failed"),
        ([deployment(1, "COMPLETED")], 1, "failed"),
        ([deployment(2, "FAILED")], 0, "failed"),
    ],
)
def test_a_deployment_is_over_when_the_right_revision_runs_alone(deployments, running, state):
    from ops import rollout

    service = {"deployments": deployments, "runningCount": running, "desiredCount": 1, "pendingCount": 0}
    assert rollout._state(service, deployment(2, "")["taskDefinition"])[0] == state
