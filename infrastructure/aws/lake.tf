# The bucket: the lake below var.lake_prefix, the logs of runs below dagster/.

locals {
  bucket      = var.bucket != "" ? var.bucket : "${var.name}-${data.aws_caller_identity.current.account_id}-${var.region}"
  logs_prefix = "dagster/compute-logs/"
  # Days until expiry. Curated data stay.
  expiring = {
    "raw-snapshots" = { prefix = "${var.lake_prefix}raw/snapshots/", days = 30 }
    "raw-vod-chat"  = { prefix = "${var.lake_prefix}raw/vod_chat/", days = 7 }
    "quarantine"    = { prefix = "${var.lake_prefix}quarantine/", days = 30 }
    "run-logs"      = { prefix = local.logs_prefix, days = 30 }
  }
  # A rule cannot exclude a prefix: "date=" keeps curated/analysis/latest/ out of the last one.
  archived = {
    "archive-presence"  = "${var.lake_prefix}curated/presence_snapshots/"
    "archive-audiences" = "${var.lake_prefix}curated/audiences/"
    "archive-channels"  = "${var.lake_prefix}curated/channels/"
    "archive-analysis"  = "${var.lake_prefix}curated/analysis/date="
  }
}

resource "aws_s3_bucket" "lake" {
  bucket        = local.bucket
  force_destroy = !var.protect_data
}

resource "aws_s3_bucket_versioning" "lake" {
  bucket = aws_s3_bucket.lake.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_public_access_block" "lake" {
  bucket                  = aws_s3_bucket.lake.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "lake" {
  bucket = aws_s3_bucket.lake.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

data "aws_iam_policy_document" "tls_only" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.lake.arn, "${aws_s3_bucket.lake.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "lake" {
  bucket     = aws_s3_bucket.lake.id
  policy     = data.aws_iam_policy_document.tls_only.json
  depends_on = [aws_s3_bucket_public_access_block.lake]
}

resource "aws_s3_bucket_lifecycle_configuration" "lake" {
  bucket     = aws_s3_bucket.lake.id
  depends_on = [aws_s3_bucket_versioning.lake]

  dynamic "rule" {
    for_each = local.expiring
    content {
      id     = rule.key
      status = "Enabled"
      filter {
        prefix = rule.value.prefix
      }
      expiration {
        days = rule.value.days
      }
    }
  }

  dynamic "rule" {
    for_each = local.archived
    content {
      id     = rule.key
      status = "Enabled"
      filter {
        prefix = rule.value
      }
      # Objects below 128 KB stay where they are: S3's own default, and cheaper.
      transition {
        days          = 90
        storage_class = "GLACIER_IR"
      }
    }
  }

  # With versioning, expiry alone only hides an object.
  dynamic "rule" {
    for_each = { "old-versions-lake" = var.lake_prefix, "old-versions-run-logs" = local.logs_prefix }
    content {
      id     = rule.key
      status = "Enabled"
      filter {
        prefix = rule.value
      }
      expiration {
        expired_object_delete_marker = true
      }
      noncurrent_version_expiration {
        noncurrent_days = var.noncurrent_days
      }
      abort_incomplete_multipart_upload {
        days_after_initiation = 2
      }
    }
  }
}

# Lets the alarm about missing snapshots count arriving objects, at no charge.
resource "aws_s3_bucket_notification" "lake" {
  bucket      = aws_s3_bucket.lake.id
  eventbridge = true
}
