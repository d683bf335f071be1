# Rights of each task. Names of objects reveal nothing about people, so listing is not narrowed to a prefix:
# without that right, S3 answers "forbidden" instead of "not found".

locals {
  lake        = "${aws_s3_bucket.lake.arn}/${var.lake_prefix}"
  run_logs    = "${aws_s3_bucket.lake.arn}/${local.logs_prefix}"
  account     = data.aws_caller_identity.current.account_id
  partition   = data.aws_partition.current.partition
  run_prefix  = "arn:${local.partition}:ecs:${var.region}:${local.account}"
  metric_name = "ViewerAtlas" # `alerts.namespace` of the settings
}

data "aws_iam_policy_document" "collector" {
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.lake.arn]
  }
  statement {
    sid       = "Write"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${local.lake}raw/snapshots/*", "${local.lake}state/collectors/*", "${local.lake}state/viewer_key.json"]
  }
  # Its own snapshots, to see whether an upload has arrived although its answer got lost.
  statement {
    sid     = "Read"
    actions = ["s3:GetObject"]
    resources = [
      "${local.lake}raw/snapshots/*", "${local.lake}state/collectors/*", "${local.lake}state/opt_outs.json",
      "${local.lake}state/viewer_key.json"
    ]
  }
}

# Rights of every process that loads the code location: the code server, and runs.
data "aws_iam_policy_document" "alerts" {
  statement {
    sid       = "Alert"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alerts.arn]
  }
  statement {
    sid       = "Beat"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"] # the action takes only this
    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = [local.metric_name]
    }
  }
}

data "aws_iam_policy_document" "run" {
  source_policy_documents = concat([data.aws_iam_policy_document.alerts.json], data.aws_iam_policy_document.use_spark[*].json)
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.lake.arn]
  }
  statement {
    sid       = "Read"
    actions   = ["s3:GetObject"]
    resources = ["${local.lake}*"]
  }
  # Live snapshots are the collector's: a run reads them, and lifecycle rules remove them.
  statement {
    sid     = "Change"
    actions = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = [
      "${local.lake}raw/vod_chat/*", "${local.lake}curated/*", "${local.lake}quarantine/*", "${local.lake}state/*"
    ]
  }
  statement {
    sid       = "Logs"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${local.run_logs}*"]
  }
}

data "aws_iam_policy_document" "dagster" {
  source_policy_documents = [data.aws_iam_policy_document.alerts.json]
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.lake.arn]
  }
  # The code server's sensors read the lake, and keep their state in it.
  statement {
    sid       = "Read"
    actions   = ["s3:GetObject"]
    resources = ["${local.lake}*"]
  }
  statement {
    sid       = "State"
    actions   = ["s3:PutObject", "s3:DeleteObject"]
    resources = ["${local.lake}state/*"]
  }
  statement {
    sid       = "Logs"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${local.run_logs}*"]
  }
  statement {
    sid       = "Launch"
    actions   = ["ecs:RunTask"]
    resources = ["${local.run_prefix}:task-definition/${module.run.family}:*"]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.this.arn]
    }
  }
  statement {
    sid       = "Watch"
    actions   = ["ecs:DescribeTasks", "ecs:StopTask"]
    resources = ["${local.run_prefix}:task/${aws_ecs_cluster.this.name}/*"]
  }
  statement {
    sid       = "Describe"
    actions   = ["ecs:DescribeTaskDefinition"]
    resources = ["*"] # the action takes only this
  }
  statement {
    sid       = "Tag"
    actions   = ["ecs:TagResource"]
    resources = ["${local.run_prefix}:task/${aws_ecs_cluster.this.name}/*"]
    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RunTask"]
    }
  }
  statement {
    sid       = "Pass"
    actions   = ["iam:PassRole"]
    resources = module.run.role_arns
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
  # The last lines of a run that ended badly.
  statement {
    sid       = "Explain"
    actions   = ["logs:GetLogEvents"]
    resources = ["${module.run.log_group_arn}:*"]
  }
  # The operator's tunnel to the webserver.
  statement {
    sid = "Tunnel"
    actions = [
      "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
      "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
    ]
    resources = ["*"] # the actions take only this
  }
}
