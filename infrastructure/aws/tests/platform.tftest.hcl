# What can be said without any account. Run by tests/aws/test_terraform.py, which puts tests/drawn_secret in the
# place of modules/drawn_secret: Terraform's mocks have no secrets that are never stored.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { name = "us-east-1" }
  }
  mock_data "aws_vpc" {
    defaults = { id = "vpc-0a" }
  }
  mock_data "aws_subnets" {
    defaults = { ids = ["subnet-0a", "subnet-0b"] }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\": \"2012-10-17\", \"Statement\": []}" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:us-east-1:123456789012:mock" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:us-east-1:123456789012:task-definition/mock:1" }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mock-AbCdEf" }
  }
}

variables {
  image_tag = "4c0f6e9"
}

run "lifecycle_rules_match_what_is_in_the_lake" {
  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_lifecycle_configuration.lake.rule :
      startswith(rule.filter[0].prefix, "vieweratlas/") || rule.filter[0].prefix == "dagster/compute-logs/"
    ])
    error_message = "a rule matches nothing: its prefix is not the lake's"
  }
  assert {
    condition = !anytrue([
      for rule in aws_s3_bucket_lifecycle_configuration.lake.rule :
      startswith("vieweratlas/curated/analysis/latest/atlas.html", rule.filter[0].prefix)
      if length(rule.transition) > 0 || try(rule.expiration[0].days > 0, false)
    ])
    error_message = "curated/analysis/latest has to stay where it is"
  }
}

run "the_prefix_of_the_lake_moves_rules_and_environment" {
  variables {
    lake_prefix = "team/atlas/"
  }
  assert {
    condition = contains(
      [for rule in aws_s3_bucket_lifecycle_configuration.lake.rule : rule.filter[0].prefix], "team/atlas/raw/snapshots/"
    )
    error_message = "lifecycle rules do not follow lake_prefix"
  }
  assert {
    condition     = local.lake_environment.S3_PREFIX == "team/atlas/"
    error_message = "S3_PREFIX does not follow lake_prefix"
  }
}

run "services_are_single_and_come_back" {
  assert {
    condition = alltrue([
      for service in aws_ecs_service.this :
      service.deployment_minimum_healthy_percent == 0 && service.deployment_maximum_percent == 100
      && service.deployment_circuit_breaker[0].enable && service.deployment_circuit_breaker[0].rollback
      && service.desired_count == 1 && length(service.capacity_provider_strategy) == 1
    ])
    error_message = "a deployment must stop the old task first and go back by itself"
  }
  assert {
    condition = alltrue([
      for service in aws_ecs_service.this : one(service.capacity_provider_strategy).capacity_provider == "FARGATE_SPOT"
    ])
    error_message = "Spot is the default"
  }
}

run "leaving_spot" {
  variables {
    collector_capacity = "FARGATE"
  }
  assert {
    condition = (
      one(aws_ecs_service.this["collector"].capacity_provider_strategy).capacity_provider == "FARGATE"
      && one(aws_ecs_service.this["dagster"].capacity_provider_strategy).capacity_provider == "FARGATE_SPOT"
    )
    error_message = "collector_capacity is the collector's alone"
  }
}

run "the_budget_tells_twice" {
  assert {
    condition = (
      aws_budgets_budget.monthly[0].limit_amount == "50"
      && toset([for told in aws_budgets_budget.monthly[0].notification : told.threshold]) == toset([80, 100])
      && alltrue([for told in aws_budgets_budget.monthly[0].notification : told.notification_type == "ACTUAL"])
      && alltrue([for told in aws_budgets_budget.monthly[0].notification : contains(told.subscriber_sns_topic_arns, aws_sns_topic.alerts.arn)])
    )
    error_message = "expected alerts at 80 % and 100 % of what was really spent"
  }
}

run "nobody_reaches_the_webserver_by_default" {
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.operator) == 0
    error_message = "no way in was asked for"
  }
}

run "an_operator_may_reach_the_webserver" {
  variables {
    operator_cidr = "203.0.113.7/32"
  }
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.operator[0].cidr_ipv4 == "203.0.113.7/32"
      && aws_vpc_security_group_ingress_rule.operator[0].from_port == 3000
      && aws_vpc_security_group_ingress_rule.operator[0].to_port == 3000
    )
    error_message = "exactly this network, exactly this port"
  }
}

run "a_stopped_platform_alarms_nobody" {
  variables {
    services_running = false
  }
  assert {
    condition = (
      alltrue([for service in aws_ecs_service.this : service.desired_count == 0])
      && alltrue([for alarm in aws_cloudwatch_metric_alarm.this : !alarm.actions_enabled])
    )
    error_message = "services and alarms have to stop together"
  }
}

run "data_are_protected" {
  assert {
    condition     = !aws_s3_bucket.lake.force_destroy && aws_db_instance.dagster.deletion_protection && alltrue([for secret in aws_secretsmanager_secret.twitch : secret.recovery_window_in_days == 7])
    error_message = "nothing that holds data may be destroyed by default"
  }
  assert {
    condition     = alltrue([for repository in aws_ecr_repository.image : repository.image_tag_mutability == "IMMUTABLE" && !repository.force_delete])
    error_message = "a tag must stay what it is"
  }
}

run "wrong_values_are_refused" {
  command = plan
  variables {
    image_tag                 = "latest"
    name                      = "Viewer Atlas"
    region                    = "Virginia"
    cpu_architecture          = "arm"
    bucket                    = "Bad_Bucket"
    lake_prefix               = "/vieweratlas"
    noncurrent_days           = 0
    twitch_secrets            = ["password"]
    twitch_channels           = ["#Somebody"]
    database_password_version = 0
    vpc_id                    = "default"
    subnet_ids                = ["subnet-0a"]
    operator_cidr             = "0.0.0.0/0"
    collector_capacity        = "EC2"
    dagster_capacity          = "EC2"
    alert_email               = "nobody"
    snapshot_alarm_minutes    = 7
    monthly_budget_usd        = -1
  }
  expect_failures = [
    var.image_tag, var.name, var.region, var.cpu_architecture, var.bucket, var.lake_prefix, var.noncurrent_days,
    var.twitch_secrets, var.twitch_channels, var.database_password_version, var.vpc_id, var.subnet_ids,
    var.operator_cidr, var.collector_capacity, var.dagster_capacity, var.alert_email, var.snapshot_alarm_minutes,
    var.monthly_budget_usd,
  ]
}

run "a_lake_prefix_among_the_logs_of_runs_is_refused" {
  command = plan
  variables {
    lake_prefix = "dagster/lake/"
  }
  expect_failures = [var.lake_prefix]
}
