"""Launching runs on Fargate: Dagster's ECS launcher, its network by the environment, and a way off Spot.

infrastructure/dagster/aws/dagster.yaml names the launcher, and sets sizes, limits and capacity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

import dagster as dg
from dagster_aws.ecs import EcsRunLauncher

from vieweratlas_dagster.resources.dagster_internals import (
    RETRY_NUMBER_TAG,
    ConfigurableClassData,
    LaunchRunContext,
)

_RUN_TASK_TAG = "ecs/run_task_kwargs"
_ON_DEMAND = {"capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]}


class FargateRunLauncher(EcsRunLauncher):
    """Starts every run as a Fargate task, in the subnets and security groups that the environment names.

    The first attempt takes the capacity of ``run_task_kwargs``. An automatic retry takes on-demand
    capacity: ECS itself never falls back to it, and Spot that was just reclaimed is likely to be scarce.
    """

    @classmethod
    def config_type(cls) -> Any:
        """Dagster's schema of the ECS launcher, and the network."""
        return {
            **super().config_type(),  # type: ignore[no-untyped-call]
            "subnets": dg.Field(dg.StringSource, description="Subnets of the tasks, comma-separated."),
            "security_groups": dg.Field(
                dg.StringSource, description="Their security groups, comma-separated."
            ),
            "assign_public_ip": dg.Field(
                bool,
                is_required=False,
                default_value=False,
                description="For subnets without a NAT gateway.",
            ),
        }

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """The launcher that dagster.yaml describes.

        Raises:
            ValueError: the environment names no subnet or no security group.
        """
        config = dict(config_value)
        network = {
            "subnets": _listed("subnets", config.pop("subnets")),
            "securityGroups": _listed("security_groups", config.pop("security_groups")),
            "assignPublicIp": "ENABLED" if config.pop("assign_public_ip") else "DISABLED",
        }
        config["run_task_kwargs"] = {
            **config.get("run_task_kwargs", {}),
            "networkConfiguration": {"awsvpcConfiguration": network},
        }
        return super().from_config_value(inst_data, config)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run's task; on on-demand capacity if this is an automatic retry."""
        run = context.dagster_run
        if RETRY_NUMBER_TAG in run.tags:
            wanted = json.loads(run.tags.get(_RUN_TASK_TAG, "{}")) | _ON_DEMAND
            run = run.with_tags({**run.tags, _RUN_TASK_TAG: json.dumps(wanted)})
        super().launch_run(context._replace(dagster_run=run))


def _listed(key: str, value: str) -> list[str]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    if not names:
        raise ValueError(f"run_launcher.config.{key} in dagster.yaml is empty: name at least one")
    return names
