# One kind of Fargate task: its definition, its log group and its two roles.
# var.policy says what the task may do.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  full_name = "${var.name}-${var.kind}"
  secrets   = distinct(flatten([for container in var.containers : values(container.secrets)]))
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/${var.kind}"
  retention_in_days = 7
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${data.aws_partition.current.partition}:ecs:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:*"]
    }
  }
}

# Rights of ECS to start the task: the image, the log, and exactly the secrets that the task uses.
resource "aws_iam_role" "execution" {
  name               = "${local.full_name}-execution"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "Login"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # the action takes only this
  }
  statement {
    sid       = "Pull"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [var.repository_arn]
  }
  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
  dynamic "statement" {
    for_each = length(local.secrets) > 0 ? [local.secrets] : []
    content {
      sid       = "Secrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = statement.value
    }
  }
}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

# Rights of the programs in it.
resource "aws_iam_role" "task" {
  name               = "${local.full_name}-task"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "task" {
  name   = "work"
  role   = aws_iam_role.task.id
  policy = var.policy
}

resource "aws_ecs_task_definition" "this" {
  family                   = local.full_name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  # Old revisions stay: a run that was queued under one still starts.
  skip_destroy = true

  runtime_platform {
    cpu_architecture        = var.cpu_architecture
    operating_system_family = "LINUX"
  }

  container_definitions = jsonencode([
    for name in sort(keys(var.containers)) : {
      name              = name
      image             = var.image
      essential         = true
      command           = var.containers[name].command
      memoryReservation = var.containers[name].memory
      environment       = [for key in sort(keys(var.containers[name].environment)) : { name = key, value = var.containers[name].environment[key] }]
      secrets           = [for key in sort(keys(var.containers[name].secrets)) : { name = key, valueFrom = var.containers[name].secrets[key] }]
      dependsOn         = [for other in var.containers[name].after : { containerName = other, condition = "HEALTHY" }]
      # Spot gives two minutes; Fargate kills after 30 s by default.
      stopTimeout     = 120
      linuxParameters = { initProcessEnabled = true }
      healthCheck = length(var.containers[name].health) == 0 ? null : {
        command     = concat(["CMD"], var.containers[name].health)
        interval    = 30
        timeout     = 20
        retries     = 3
        startPeriod = 120
      }
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = aws_cloudwatch_log_group.this.name
          "awslogs-region"        = data.aws_region.current.name
          "awslogs-stream-prefix" = var.kind
        }
      }
    }
  ])
}
