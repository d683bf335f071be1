# The three kinds of tasks, and the settings of their programs. The images provide: python with the project on the
# PATH, config/ in the working directory, a folder /var/lib/vieweratlas that their user may write to, and
# infrastructure/dagster/aws/ as /opt/dagster (Dagster's image only).

locals {
  code_port      = 4000
  webserver_port = 3000
  lake_environment = {
    STORAGE_TYPE = "s3"
    S3_BUCKET    = aws_s3_bucket.lake.id
    S3_PREFIX    = var.lake_prefix
    AWS_REGION   = var.region
    LOG_FORMAT   = "json"
  }
  channels_environment = length(var.twitch_channels) == 0 ? {} : { TWITCH_CHANNELS = join(",", var.twitch_channels) }
  # The variables that infrastructure/dagster/aws/dagster.yaml lists for every process.
  instance_environment = {
    DAGSTER_PG_HOST     = aws_db_instance.dagster.address
    DAGSTER_PG_PORT     = tostring(aws_db_instance.dagster.port)
    DAGSTER_PG_DB       = aws_db_instance.dagster.db_name
    DAGSTER_PG_USER     = aws_db_instance.dagster.username
    DAGSTER_LOGS_BUCKET = aws_s3_bucket.lake.id
    AWS_DEFAULT_REGION  = var.region
  }
  # Processes that load the code location. They get their instance by command, so their home lacks a dagster.yaml.
  code_environment = merge(local.lake_environment, local.channels_environment, local.instance_environment, local.spark_environment, {
    DAGSTER_HOME     = "/tmp"
    ALERTS_BACKEND   = "sns"
    ALERTS_TOPIC_ARN = aws_sns_topic.alerts.arn
  })
  # Processes that launch and stop runs, by the revision that was deployed with them.
  control_environment = merge(local.instance_environment, {
    DAGSTER_HOME                = "/opt/dagster"
    DAGSTER_CODE_HOST           = "127.0.0.1"
    DAGSTER_CODE_PORT           = tostring(local.code_port)
    DAGSTER_RUN_CLUSTER         = aws_ecs_cluster.this.name
    DAGSTER_RUN_TASK_DEFINITION = module.run.definition_arn
    DAGSTER_RUN_SUBNETS         = join(",", local.subnets)
    DAGSTER_RUN_SECURITY_GROUPS = aws_security_group.this["run"].id
  })
  workspace    = ["-w", "/opt/dagster/workspace.yaml"]
  code_secrets = merge(local.twitch_secrets, local.viewer_key, local.database_login)
}

module "collector" {
  source           = "./modules/task"
  name             = var.name
  kind             = "collector"
  image            = local.image["collector"]
  repository_arn   = aws_ecr_repository.image["collector"].arn
  cpu              = var.collector_cpu
  memory           = var.collector_memory
  cpu_architecture = var.cpu_architecture
  policy           = data.aws_iam_policy_document.collector.json
  containers = {
    collector = {
      command     = ["python", "-m", "collector_service"]
      environment = merge(local.lake_environment, local.channels_environment, { COLLECTOR_STATE_DIR = "/var/lib/vieweratlas" })
      secrets     = merge(local.twitch_secrets, local.viewer_key)
      memory      = var.collector_memory - 32
      health      = ["python", "-m", "collector_service", "health"]
    }
  }
}

# The launcher gives every run its command, and its size.
module "run" {
  source           = "./modules/task"
  name             = var.name
  kind             = "run"
  image            = local.image["dagster"]
  repository_arn   = aws_ecr_repository.image["dagster"].arn
  cpu              = 1024
  memory           = 4096
  cpu_architecture = var.cpu_architecture
  policy           = data.aws_iam_policy_document.run.json
  containers = {
    run = {
      command     = ["dagster", "api", "execute_run", "--help"]
      environment = local.code_environment
      secrets     = local.code_secrets
      memory      = 512
    }
  }
}

# One task, so that the three find each other on localhost and share one public address.
module "dagster" {
  source           = "./modules/task"
  name             = var.name
  kind             = "dagster"
  image            = local.image["dagster"]
  repository_arn   = aws_ecr_repository.image["dagster"].arn
  cpu              = var.dagster_cpu
  memory           = var.dagster_memory
  cpu_architecture = var.cpu_architecture
  policy           = data.aws_iam_policy_document.dagster.json
  containers = {
    code = {
      command = [
        "dagster", "api", "grpc", "-m", "vieweratlas_dagster.definitions", "-h", "127.0.0.1", "-p", tostring(local.code_port)
      ]
      environment = local.code_environment
      secrets     = local.code_secrets
      memory      = 800
      health      = ["dagster", "api", "grpc-health-check", "-p", tostring(local.code_port)]
    }
    daemon = {
      command     = concat(["dagster-daemon", "run"], local.workspace)
      environment = local.control_environment
      secrets     = local.database_login
      memory      = 500
      health      = ["dagster-daemon", "liveness-check"]
      after       = ["code"]
    }
    webserver = {
      # On the loopback only the tunnel reaches it.
      command     = concat(["dagster-webserver", "-h", var.operator_cidr == "" ? "127.0.0.1" : "0.0.0.0", "-p", tostring(local.webserver_port)], local.workspace)
      environment = local.control_environment
      secrets     = local.database_login
      memory      = 500
      health      = ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:${local.webserver_port}/server_info', timeout=10)"]
      after       = ["code"]
    }
  }
}
