# Assertions that need no account. Each run starts the provider again, so one run checks much. Run by
# tests/aws/test_terraform.py, which puts tests/drawn_secret in the place of modules/drawn_secret: Terraform's mocks
# lack secrets that are never stored.

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
  mock_resource "aws_emrserverless_application" {
    defaults = { id = "00f1mock", arn = "arn:aws:emr-serverless:us-east-1:123456789012:/applications/00f1mock" }
  }
  mock_resource "aws_appautoscaling_policy" {
    defaults = { arn = "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:0:resource/ecs/mock:policyName/stop" }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mock-AbCdEf" }
  }
}

variables {
  image_tag = "4c0f6e9"
}

run "by_default" {
  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_lifecycle_configuration.lake.rule :
      startswith(rule.filter[0].prefix, "vieweratlas/") || rule.filter[0].prefix == "dagster/compute-logs/"
    ])
    error_message = "a lifecycle rule matches nothing: its prefix is not the lake's"
  }
  assert {
    condition = !anytrue([
      for rule in aws_s3_bucket_lifecycle_configuration.lake.rule :
      startswith("vieweratlas/curated/analysis/latest/atlas.html", rule.filter[0].prefix)
      if length(rule.transition) > 0 || try(rule.expiration[0].days > 0, false)
    ])
    error_message = "curated/analysis/latest must stay where it is"
  }
  assert {
    condition = alltrue([
      for service in aws_ecs_service.this :
      service.deployment_minimum_healthy_percent == 0 && service.deployment_maximum_percent == 100
      && service.deployment_circuit_breaker[0].enable && service.deployment_circuit_breaker[0].rollback
      && service.desired_count == 1
    ])
    error_message = "a deployment must stop the old task first and roll back by itself"
  }
  assert {
    condition = alltrue([
      for service in aws_ecs_service.this : one(service.capacity_provider_strategy).capacity_provider == "FARGATE_SPOT"
    ])
    error_message = "Spot is the default"
  }
  assert {
    condition     = alltrue([for service in aws_ecs_service.this : service.force_new_deployment])
    error_message = "without it, the provider replaces a service that the fallback has moved"
  }
  assert {
    condition = (
      aws_budgets_budget.monthly[0].limit_amount == "50"
      && toset([for told in aws_budgets_budget.monthly[0].notification : told.threshold]) == toset([80, 100])
      && alltrue([for told in aws_budgets_budget.monthly[0].notification : told.notification_type == "ACTUAL"])
      && alltrue([for told in aws_budgets_budget.monthly[0].notification : told.subscriber_sns_topic_arns == toset([aws_sns_topic.alerts.arn])])
    )
    error_message = "expected alerts at 80 % and 100 % of the actual costs"
  }
  assert {
    condition     = length(aws_appautoscaling_policy.stop) + length(aws_cloudwatch_metric_alarm.over_budget) == 0
    error_message = "a budget must not stop anything by default"
  }
  assert {
    condition     = length(aws_emrserverless_application.spark) + length(aws_iam_role.spark) == 0 && length(local.spark_environment) == 0
    error_message = "the local engine must not need EMR"
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.operator) == 0
    error_message = "the webserver must not be open by default"
  }
  assert {
    condition     = !aws_s3_bucket.lake.force_destroy && aws_db_instance.dagster.deletion_protection && alltrue([for secret in aws_secretsmanager_secret.twitch : secret.recovery_window_in_days == 7])
    error_message = "nothing that holds data may be destroyed by default"
  }
  assert {
    condition     = alltrue([for repository in aws_ecr_repository.image : repository.image_tag_mutability == "IMMUTABLE" && !repository.force_delete])
    error_message = "a tag must never change"
  }
}

run "as_asked_for" {
  variables {
    lake_prefix           = "team/atlas/"
    services_running      = false
    collector_capacity    = "FARGATE"
    collector_cpu         = 512
    collector_memory      = 2048
    dagster_cpu           = 1024
    dagster_memory        = 4096
    database_class        = "db.t4g.small"
    database_gb           = 40
    operator_cidr         = "203.0.113.7/32"
    monthly_budget_usd    = 80
    budget_stops_services = true
    spark                 = true
    spark_image           = "123456789012.dkr.ecr.us-east-1.amazonaws.com/spark:7"
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
  assert {
    condition = (
      one(aws_ecs_service.this["collector"].capacity_provider_strategy).capacity_provider == "FARGATE"
      && one(aws_ecs_service.this["dagster"].capacity_provider_strategy).capacity_provider == "FARGATE_SPOT"
    )
    error_message = "collector_capacity is the collector's alone"
  }
  assert {
    condition = (
      alltrue([for service in aws_ecs_service.this : service.desired_count == 0])
      && alltrue([for alarm in aws_cloudwatch_metric_alarm.this : !alarm.actions_enabled])
    )
    error_message = "services and alarms must stop together"
  }
  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.no_spot[0].event_pattern).resources == [
      "arn:aws:ecs:us-east-1:123456789012:service/vieweratlas/vieweratlas-dagster"
    ]
    error_message = "only a service on Spot must leave it"
  }
  assert {
    condition = (
      aws_db_instance.dagster.instance_class == "db.t4g.small" && aws_db_instance.dagster.allocated_storage == 40
    )
    error_message = "the database's size does not follow its variables"
  }
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.operator[0].cidr_ipv4 == "203.0.113.7/32"
      && aws_vpc_security_group_ingress_rule.operator[0].from_port == 3000
      && aws_vpc_security_group_ingress_rule.operator[0].to_port == 3000
    )
    error_message = "exactly this network, exactly this port"
  }
  assert {
    condition = { for told in aws_budgets_budget.monthly[0].notification : told.threshold => one(told.subscriber_sns_topic_arns) } == {
      80 = aws_sns_topic.alerts.arn, 100 = aws_sns_topic.over_budget[0].arn
    }
    error_message = "80 % alerts; 100 % goes to the topic that stops the services"
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.over_budget[0].metric_name == "NumberOfMessagesPublished"
      && aws_cloudwatch_metric_alarm.over_budget[0].namespace == "AWS/SNS"
      && aws_cloudwatch_metric_alarm.over_budget[0].dimensions == tomap({ TopicName = "vieweratlas-over-budget" })
      && aws_cloudwatch_metric_alarm.over_budget[0].alarm_actions == toset(concat([for policy in aws_appautoscaling_policy.stop : policy.arn], [aws_sns_topic.alerts.arn]))
    )
    error_message = "a message in that topic must stop the services and alert"
  }
  assert {
    condition = toset([for target in aws_appautoscaling_target.stop : target.resource_id]) == toset([
      "service/vieweratlas/vieweratlas-collector", "service/vieweratlas/vieweratlas-dagster"
      ]) && alltrue([
      for policy in aws_appautoscaling_policy.stop :
      policy.step_scaling_policy_configuration[0].adjustment_type == "ExactCapacity"
      && one(policy.step_scaling_policy_configuration[0].step_adjustment).scaling_adjustment == 0
    ]) && alltrue([for target in aws_appautoscaling_target.stop : target.min_capacity == 0 && target.max_capacity == 1])
    error_message = "both services must go to zero tasks"
  }
  assert {
    condition = local.spark_environment == tomap({
      ANALYSIS_ENGINE        = "spark"
      EMR_APPLICATION_ID     = "00f1mock"
      EMR_EXECUTION_ROLE_ARN = aws_iam_role.spark[0].arn
    }) && aws_emrserverless_application.spark[0].image_configuration[0].image_uri == "123456789012.dkr.ecr.us-east-1.amazonaws.com/spark:7"
    error_message = "runs must know the application and the role of its jobs"
  }
  assert {
    condition = jsonencode({
      for s in data.aws_iam_policy_document.use_spark[0].statement :
      s.sid => { may = s.actions, on = s.resources, if = flatten([for c in s.condition : [c.test, c.variable, c.values]]) }
      }) == jsonencode({
      StartJob = {
        may = toset(["emr-serverless:GetApplication", "emr-serverless:StartJobRun", "emr-serverless:TagResource"])
        on  = ["arn:aws:emr-serverless:us-east-1:123456789012:/applications/00f1mock"]
        if  = []
      }
      FollowJob = {
        may = toset([
          "emr-serverless:CancelJobRun", "emr-serverless:GetDashboardForJobRun", "emr-serverless:GetJobRun",
          "emr-serverless:TagResource"
        ])
        on = ["arn:aws:emr-serverless:us-east-1:123456789012:/applications/00f1mock/jobruns/*"]
        if = []
      }
      PassToJob = {
        may = ["iam:PassRole"]
        on  = [aws_iam_role.spark[0].arn]
        if  = ["StringEquals", "iam:PassedToService", "emr-serverless.amazonaws.com"]
      }
    })
    error_message = "a run may do this with jobs of this application, and nothing else"
  }
  assert {
    condition     = length(data.aws_iam_policy_document.run.source_policy_documents) == 2
    error_message = "it must be among the rights of a run"
  }
  assert {
    condition = jsonencode({ for s in data.aws_iam_policy_document.spark.statement : s.sid => { may = s.actions, on = s.resources } }) == jsonencode({
      List = { may = ["s3:ListBucket"], on = [aws_s3_bucket.lake.arn] }
      Read = {
        may = ["s3:GetObject"]
        on  = toset([for key in ["curated/audiences/*", "state/spark/*"] : "${aws_s3_bucket.lake.arn}/team/atlas/${key}"])
      }
      Write = { may = toset(["s3:PutObject", "s3:DeleteObject"]), on = ["${aws_s3_bucket.lake.arn}/team/atlas/state/spark/*"] }
    })
    error_message = "a job reads audiences and writes below state/spark, and nothing else"
  }
  assert {
    condition     = one(data.aws_iam_policy_document.spark_trust[0].statement[0].principals).identifiers == toset(["emr-serverless.amazonaws.com"])
    error_message = "only EMR Serverless may become the job"
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
    collector_cpu             = 300
    dagster_cpu               = 256
    database_class            = "t4g.micro"
    database_gb               = 5
    spark_release             = "emr-6.15.0"
    spark_image               = "spark:latest"
    spark_max_vcpus           = 1
  }
  expect_failures = [
    var.image_tag, var.name, var.region, var.cpu_architecture, var.bucket, var.lake_prefix, var.noncurrent_days,
    var.twitch_secrets, var.twitch_channels, var.database_password_version, var.vpc_id, var.subnet_ids,
    var.operator_cidr, var.collector_capacity, var.dagster_capacity, var.alert_email, var.snapshot_alarm_minutes,
    var.monthly_budget_usd, var.collector_cpu, var.dagster_cpu, var.database_class, var.database_gb, var.spark_release,
    var.spark_image, var.spark_max_vcpus,
  ]
}

run "what_does_not_fit_together_is_refused" {
  command = plan
  variables {
    lake_prefix           = "dagster/lake/" # among the logs of runs
    monthly_budget_usd    = 0
    budget_stops_services = true
    collector_cpu         = 1024
    collector_memory      = 512
    dagster_cpu           = 1024
    dagster_memory        = 9216
  }
  expect_failures = [var.lake_prefix, var.budget_stops_services, var.collector_memory, var.dagster_memory]
}
