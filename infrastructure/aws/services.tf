# The services: one collector, one Dagster. Two daemons must not run at once, so a deployment stops the old one first,
# and rolls back by itself when the new one does not become healthy.

locals {
  services = {
    collector = { definition = module.collector.definition_arn, capacity = var.collector_capacity, exec = false }
    dagster   = { definition = module.dagster.definition_arn, capacity = var.dagster_capacity, exec = true }
  }
}

resource "aws_ecs_service" "this" {
  for_each                           = local.services
  name                               = "${var.name}-${each.key}"
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = each.value.definition
  desired_count                      = var.services_running ? 1 : 0
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  enable_execute_command             = each.value.exec
  propagate_tags                     = "SERVICE"
  # Without this, the provider would replace a service whose capacity changes, or was changed by the fallback.
  force_new_deployment = true
  # Beside launch_type, which stays away: the API takes one or the other.
  capacity_provider_strategy {
    capacity_provider = each.value.capacity
    weight            = 1
  }
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  network_configuration {
    subnets          = local.subnets
    security_groups  = [aws_security_group.this[each.key].id]
    assign_public_ip = true
  }
  depends_on = [aws_ecs_cluster_capacity_providers.this]
}
