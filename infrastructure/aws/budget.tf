# The account's budget. It alerts; with var.budget_stops_services it also stops the services.
#
# An action of AWS Budgets can stop EC2 and RDS instances, but no ECS service, and denying rights stops nothing that
# already runs. So the budget's last message goes to a topic of its own; an alarm sees it there, and its actions are
# scaling policies that set the services to zero tasks. The next apply starts them again.

resource "aws_budgets_budget" "monthly" {
  count        = var.monthly_budget_usd > 0 ? 1 : 0
  name         = "${var.name}-monthly"
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  dynamic "notification" {
    # A message of a budget goes to one topic only.
    for_each = {
      80  = aws_sns_topic.alerts.arn
      100 = var.budget_stops_services ? aws_sns_topic.over_budget[0].arn : aws_sns_topic.alerts.arn
    }
    content {
      comparison_operator       = "GREATER_THAN"
      notification_type         = "ACTUAL"
      threshold                 = tonumber(notification.key)
      threshold_type            = "PERCENTAGE"
      subscriber_sns_topic_arns = [notification.value]
    }
  }
  depends_on = [aws_sns_topic_policy.alerts, aws_sns_topic_policy.over_budget]
}

resource "aws_sns_topic" "over_budget" {
  count = var.budget_stops_services ? 1 : 0
  name  = "${var.name}-over-budget"
}

resource "aws_sns_topic_policy" "over_budget" {
  count  = length(aws_sns_topic.over_budget)
  arn    = aws_sns_topic.over_budget[0].arn
  policy = data.aws_iam_policy_document.topic["over-budget"].json
}

resource "aws_cloudwatch_metric_alarm" "over_budget" {
  count               = length(aws_sns_topic.over_budget)
  alarm_name          = "${var.name}-over-budget"
  alarm_description   = "The month's budget is used up: the services are being stopped; terraform apply starts them again"
  namespace           = "AWS/SNS"
  metric_name         = "NumberOfMessagesPublished"
  dimensions          = { TopicName = aws_sns_topic.over_budget[0].name }
  statistic           = "Sum"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = concat([for policy in aws_appautoscaling_policy.stop : policy.arn], [aws_sns_topic.alerts.arn])
}

resource "aws_appautoscaling_target" "stop" {
  for_each           = var.budget_stops_services ? aws_ecs_service.this : {}
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${each.value.name}"
  min_capacity       = 0
  max_capacity       = 1
}

resource "aws_appautoscaling_policy" "stop" {
  for_each           = aws_appautoscaling_target.stop
  name               = "${var.name}-${each.key}-stop"
  service_namespace  = each.value.service_namespace
  scalable_dimension = each.value.scalable_dimension
  resource_id        = each.value.resource_id
  policy_type        = "StepScaling"
  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Maximum"
    step_adjustment {
      metric_interval_lower_bound = 0
      scaling_adjustment          = 0
    }
  }
}
