# The cluster of `analysis.engine: spark`, if var.spark is set: an application of EMR Serverless, which costs nothing
# between jobs, and the role of its jobs (docs/SPARK.md).

resource "aws_emrserverless_application" "spark" {
  count         = var.spark ? 1 : 0
  name          = var.name
  type          = "spark"
  release_label = var.spark_release
  architecture  = var.cpu_architecture
  auto_start_configuration {
    enabled = true
  }
  auto_stop_configuration {
    enabled              = true
    idle_timeout_minutes = 5
  }
  # The most that a job can cost, whatever it asks for.
  maximum_capacity {
    cpu    = "${var.spark_max_vcpus} vCPU"
    memory = "${var.spark_max_vcpus * 4} GB"
  }
  dynamic "image_configuration" {
    for_each = var.spark_image == "" ? [] : [var.spark_image]
    content {
      image_uri = image_configuration.value
    }
  }
}

data "aws_iam_policy_document" "spark_trust" {
  count = var.spark ? 1 : 0
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["emr-serverless.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = [aws_emrserverless_application.spark[0].arn]
    }
  }
}

resource "aws_iam_role" "spark" {
  count              = var.spark ? 1 : 0
  name               = "${var.name}-spark-task"
  assume_role_policy = data.aws_iam_policy_document.spark_trust[0].json
}

data "aws_iam_policy_document" "spark" {
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.lake.arn]
  }
  statement {
    sid       = "Read"
    actions   = ["s3:GetObject"]
    resources = ["${local.lake}curated/audiences/*", "${local.lake}state/spark/*"]
  }
  statement {
    sid       = "Write"
    actions   = ["s3:PutObject", "s3:DeleteObject"]
    resources = ["${local.lake}state/spark/*"]
  }
}

resource "aws_iam_role_policy" "spark" {
  count  = var.spark ? 1 : 0
  name   = "work"
  role   = aws_iam_role.spark[0].id
  policy = data.aws_iam_policy_document.spark.json
}

# Further rights of a run, to start jobs there.
data "aws_iam_policy_document" "use_spark" {
  count = var.spark ? 1 : 0
  statement {
    sid       = "StartJob"
    actions   = ["emr-serverless:StartJobRun", "emr-serverless:TagResource", "emr-serverless:GetApplication"]
    resources = [aws_emrserverless_application.spark[0].arn]
  }
  statement {
    sid = "FollowJob"
    actions = [
      "emr-serverless:GetJobRun", "emr-serverless:CancelJobRun", "emr-serverless:GetDashboardForJobRun",
      "emr-serverless:TagResource",
    ]
    resources = ["${aws_emrserverless_application.spark[0].arn}/jobruns/*"]
  }
  statement {
    sid       = "PassToJob"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.spark[0].arn]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["emr-serverless.amazonaws.com"]
    }
  }
}

locals {
  spark_environment = !var.spark ? {} : {
    ANALYSIS_ENGINE        = "spark"
    EMR_APPLICATION_ID     = aws_emrserverless_application.spark[0].id
    EMR_EXECUTION_ROLE_ARN = aws_iam_role.spark[0].arn
  }
}
