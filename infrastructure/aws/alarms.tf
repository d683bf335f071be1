# Alarms and their topic. Dagster's own alerts (docs/RUNBOOK.md) go to the same topic; the alarms here also notice
# when Dagster itself cannot alert.

resource "aws_sns_topic" "alerts" {
  name = "${var.name}-alerts"
}

# Roles of this account publish by their own policies; these services of AWS do not have one.
data "aws_iam_policy_document" "topic" {
  for_each = {
    alerts      = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]
    over-budget = ["budgets.amazonaws.com"]
  }
  statement {
    sid       = "AwsPublishes"
    actions   = ["sns:Publish"]
    resources = ["arn:${local.partition}:sns:${var.region}:${local.account}:${var.name}-${each.key}"]
    principals {
      type        = "Service"
      identifiers = each.value
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_sns_topic_policy" "alerts" {
  arn    = aws_sns_topic.alerts.arn
  policy = data.aws_iam_policy_document.topic["alerts"].json
}

resource "aws_sns_topic_subscription" "email" {
  count     = var.alert_email == "" ? 0 : 1
  topic_arn = aws_sns_topic.alerts.arn
  protocol  = "email"
  endpoint  = var.alert_email
}

# Counts new snapshots of any writer: a rule's matches are a metric of CloudWatch, at no charge.
resource "aws_cloudwatch_event_rule" "snapshot" {
  name        = "${var.name}-snapshot"
  description = "A live snapshot has come into the lake"
  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail = {
      bucket = { name = [aws_s3_bucket.lake.id] }
      object = { key = [{ prefix = "${var.lake_prefix}raw/snapshots/" }] }
    }
  })
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = {
    CollectorErrors = { group = module.collector.log_group, pattern = "{ $.level = \"error\" }" }
    FailedRuns      = { group = module.run.log_group, pattern = "RUN_FAILURE" }
  }
  name           = "${var.name}-${each.key}"
  log_group_name = each.value.group
  pattern        = each.value.pattern
  metric_transformation {
    namespace = local.metric_name
    name      = each.key
    value     = "1"
  }
}

locals {
  # silent: whether missing data mean trouble. Without the metrics of Container Insights, a service that does not
  # report CPU does not have a task.
  alarms = {
    collector-not-running = {
      text       = "The collector has had no running task for 15 minutes"
      namespace  = "AWS/ECS", metric = "CPUUtilization", statistic = "SampleCount", silent = "breaching"
      dimensions = { ClusterName = aws_ecs_cluster.this.name, ServiceName = aws_ecs_service.this["collector"].name }
      comparison = "LessThanThreshold", threshold = 1, period = 300, periods = 3
    }
    dagster-not-running = {
      text       = "Dagster has had no running task for 15 minutes"
      namespace  = "AWS/ECS", metric = "CPUUtilization", statistic = "SampleCount", silent = "breaching"
      dimensions = { ClusterName = aws_ecs_cluster.this.name, ServiceName = aws_ecs_service.this["dagster"].name }
      comparison = "LessThanThreshold", threshold = 1, period = 300, periods = 3
    }
    no-snapshots = {
      text       = "No live snapshot has come into the lake for ${var.snapshot_alarm_minutes} minutes"
      namespace  = "AWS/Events", metric = "MatchedEvents", statistic = "Sum", silent = "breaching"
      dimensions = { RuleName = aws_cloudwatch_event_rule.snapshot.name }
      comparison = "LessThanThreshold", threshold = 1, period = 300, periods = var.snapshot_alarm_minutes / 5
    }
    collector-errors = {
      text       = "The collector has logged errors in three five-minute spans in a row"
      namespace  = local.metric_name, metric = "CollectorErrors", statistic = "Sum", silent = "notBreaching"
      dimensions = {}
      comparison = "GreaterThanOrEqualToThreshold", threshold = 1, period = 300, periods = 3
    }
    failed-runs = {
      text       = "A run of Dagster has failed"
      namespace  = local.metric_name, metric = "FailedRuns", statistic = "Sum", silent = "notBreaching"
      dimensions = {}
      comparison = "GreaterThanOrEqualToThreshold", threshold = 1, period = 300, periods = 1
    }
    no-heartbeat = {
      text       = "Dagster's sensors have not run for 15 minutes: failed runs and checks would raise no alert"
      namespace  = local.metric_name, metric = "Heartbeat", statistic = "Sum", silent = "breaching"
      dimensions = {}
      comparison = "LessThanThreshold", threshold = 1, period = 300, periods = 3
    }
    # Without a heartbeat ages are missing too, and no-heartbeat alarms.
    old-checks = {
      text       = "The scheduled checks have not run for an hour: schedule off, run queue stuck, or no task can start"
      namespace  = local.metric_name, metric = "ChecksAgeMinutes", statistic = "Minimum", silent = "ignore"
      dimensions = {}
      comparison = "GreaterThanThreshold", threshold = 60, period = 300, periods = 3
    }
    old-atlas = {
      text       = "The published atlas shows a day that ended more than 36 hours ago"
      namespace  = local.metric_name, metric = "AtlasAgeHours", statistic = "Minimum", silent = "ignore"
      dimensions = {}
      comparison = "GreaterThanThreshold", threshold = 36, period = 300, periods = 3
    }
    database-storage = {
      text       = "Dagster's database has less than 4 GB left"
      namespace  = "AWS/RDS", metric = "FreeStorageSpace", statistic = "Minimum", silent = "missing"
      dimensions = { DBInstanceIdentifier = aws_db_instance.dagster.identifier }
      comparison = "LessThanThreshold", threshold = 4e9, period = 300, periods = 3
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.text
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.silent
  # Services that were stopped on purpose raise no alarm.
  actions_enabled = var.services_running
  alarm_actions   = [aws_sns_topic.alerts.arn]
  ok_actions      = [aws_sns_topic.alerts.arn]
}
