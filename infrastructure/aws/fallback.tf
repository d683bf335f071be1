# The way off Spot. ECS waits until Spot has capacity, so when it reports that Spot has none, the service moves to FARGATE,
# and the topic gets a message. The next apply moves it back.
#
# Retries of runs leave Spot by themselves (vieweratlas_dagster/automation/fargate.py).

locals {
  # By name, so that plans do not show changes of resources that follow from a deployment.
  service_arns     = { for key in keys(local.services) : key => "${local.run_prefix}:service/${var.name}/${var.name}-${key}" }
  services_on_spot = [for key, service in local.services : local.service_arns[key] if service.capacity == "FARGATE_SPOT"]
  leave_spot       = "${var.name}-leave-spot"
}

resource "aws_cloudwatch_event_rule" "no_spot" {
  count       = length(local.services_on_spot) > 0 ? 1 : 0
  name        = "${var.name}-no-spot"
  description = "A service finds no Spot capacity for its task"
  event_pattern = jsonencode({
    source        = ["aws.ecs"]
    "detail-type" = ["ECS Service Action"]
    resources     = local.services_on_spot
    detail = {
      eventName            = ["SERVICE_TASK_PLACEMENT_FAILURE"]
      reason               = ["RESOURCE:FARGATE"]
      capacityProviderArns = ["${local.run_prefix}:capacity-provider/FARGATE_SPOT"]
    }
  })
}

resource "aws_cloudwatch_event_target" "leave_spot" {
  count    = length(aws_cloudwatch_event_rule.no_spot)
  rule     = aws_cloudwatch_event_rule.no_spot[0].name
  arn      = "arn:${local.partition}:ssm:${var.region}:${local.account}:automation-definition/${local.leave_spot}:$DEFAULT"
  role_arn = aws_iam_role.fallback["trigger"].arn
  input_transformer {
    input_paths    = { service = "$.resources[0]" }
    input_template = "{\"Service\": [<service>]}"
  }
  depends_on = [aws_ssm_document.leave_spot]
}

resource "aws_ssm_document" "leave_spot" {
  name          = local.leave_spot
  document_type = "Automation"
  content = jsonencode({
    schemaVersion = "0.3"
    description   = "Moves a service that finds no Spot capacity to FARGATE."
    assumeRole    = aws_iam_role.fallback["move"].arn
    parameters = {
      Service = { type = "String", description = "ARN of the service", allowedPattern = "^arn:[a-z-]+:ecs:[a-z0-9-]+:[0-9]{12}:service/[A-Za-z0-9_/-]+$" }
    }
    mainSteps = [
      {
        name   = "move"
        action = "aws:executeAwsApi"
        inputs = {
          Service                  = "ecs"
          Api                      = "UpdateService"
          cluster                  = aws_ecs_cluster.this.name
          service                  = "{{ Service }}"
          capacityProviderStrategy = [{ capacityProvider = "FARGATE", weight = 1 }]
          forceNewDeployment       = true
        }
      },
      {
        name   = "tell"
        action = "aws:executeAwsApi"
        inputs = {
          Service  = "sns"
          Api      = "Publish"
          TopicArn = aws_sns_topic.alerts.arn
          Subject  = "${var.name}: no Spot capacity, moved to FARGATE"
          Message  = "There is no Spot capacity for {{ Service }}, so it runs on FARGATE now, at about three times the price. The next terraform apply moves it back to Spot."
        }
      },
    ]
  })
}

locals {
  # The services that may assume it, and on behalf of which resources.
  fallback_trusts = {
    trigger = { service = "events.amazonaws.com", source = "arn:${local.partition}:events:${var.region}:${local.account}:rule/${var.name}-no-spot" }
    move    = { service = "ssm.amazonaws.com", source = "arn:${local.partition}:ssm:${var.region}:${local.account}:automation-execution/*" }
  }
  fallback_policies = {
    trigger = data.aws_iam_policy_document.trigger_fallback.json
    move    = data.aws_iam_policy_document.move_service.json
  }
}

data "aws_iam_policy_document" "fallback_trust" {
  for_each = local.fallback_trusts
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = [each.value.service]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = [each.value.source]
    }
  }
}

resource "aws_iam_role" "fallback" {
  for_each           = local.fallback_trusts
  name               = "${var.name}-fallback-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.fallback_trust[each.key].json
}

data "aws_iam_policy_document" "trigger_fallback" {
  statement {
    sid     = "Start"
    actions = ["ssm:StartAutomationExecution"]
    # AWS checks the definition, or the document and the execution made from it.
    resources = [for what in ["automation-definition/${local.leave_spot}:*", "document/${local.leave_spot}", "automation-execution/*"] :
      "arn:${local.partition}:ssm:${var.region}:${local.account}:${what}"
    ]
  }
  statement {
    sid       = "Pass"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.fallback["move"].arn]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ssm.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "move_service" {
  statement {
    sid       = "Move"
    actions   = ["ecs:UpdateService"]
    resources = values(local.service_arns)
  }
  statement {
    sid       = "Tell"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alerts.arn]
  }
}

resource "aws_iam_role_policy" "fallback" {
  for_each = local.fallback_policies
  name     = "work"
  role     = aws_iam_role.fallback[each.key].id
  policy   = each.value
}
