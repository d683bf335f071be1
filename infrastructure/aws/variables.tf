# Everything that may differ between accounts. Each value is checked before anything is changed.

variable "name" {
  description = "Prefix of all names, and of the secrets. Two deployments in one account need two."
  type        = string
  default     = "vieweratlas"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,23}$", var.name))
    error_message = "name: 3 to 24 of a-z, 0-9 and -, beginning with a letter."
  }
}

variable "region" {
  description = "Region of everything but the budget, which is global."
  type        = string
  default     = "us-east-1"
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: the name of a region, such as us-east-1."
  }
}

variable "tags" {
  description = "Further tags of everything."
  type        = map(string)
  default     = {}
}

variable "image_tag" {
  description = "Tag of both images. It is never reused, so it identifies the running version, and an earlier one is a rollback."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.image_tag)) && var.image_tag != "latest"
    error_message = "image_tag: a tag that never changes, such as a commit's hash; latest is refused."
  }
}

variable "cpu_architecture" {
  description = "Architecture of the images. ARM64 costs a fifth less."
  type        = string
  default     = "ARM64"
  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "cpu_architecture: X86_64 or ARM64."
  }
}

variable "bucket" {
  description = "Name of the lake's bucket; empty: made of name, account and region."
  type        = string
  default     = ""
  validation {
    condition     = var.bucket == "" || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket: 3 to 63 of a-z, 0-9 and -."
  }
}

variable "lake_prefix" {
  description = "Prefix of the lake in the bucket (S3_PREFIX). Lifecycle rules and rights follow it."
  type        = string
  default     = "vieweratlas/"
  validation {
    condition     = can(regex("^([A-Za-z0-9_-]+/)+$", var.lake_prefix)) && !startswith(var.lake_prefix, "dagster/")
    error_message = "lake_prefix: ends in / and does not begin with one; dagster/ holds the logs of runs."
  }
}

variable "protect_data" {
  description = "Whether bucket, images, secrets and database refuse to be destroyed while they contain something."
  type        = bool
  default     = true
}

variable "noncurrent_days" {
  description = "How long replaced and deleted objects can be brought back, and how long a forgotten viewer stays."
  type        = number
  default     = 7
  validation {
    condition     = var.noncurrent_days >= 1 && floor(var.noncurrent_days) == var.noncurrent_days
    error_message = "noncurrent_days: a whole number of days, at least 1."
  }
}

variable "twitch_secrets" {
  description = "Twitch credentials that have been stored: a task cannot start while one of these lacks a value."
  type        = set(string)
  default     = ["client_id", "client_secret"]
  validation {
    condition     = length(setsubtract(var.twitch_secrets, ["oauth_token", "client_id", "client_secret"])) == 0
    error_message = "twitch_secrets: some of oauth_token, client_id and client_secret."
  }
}

variable "twitch_channels" {
  description = "Logins to collect instead of the biggest streams; needs no credentials."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for login in var.twitch_channels : can(regex("^[a-z0-9_]{1,25}$", login))])
    error_message = "twitch_channels: logins in lower case."
  }
}

variable "database_password_version" {
  description = "Raise it by one to draw a new password for the database."
  type        = number
  default     = 1
  validation {
    condition     = var.database_password_version >= 1 && floor(var.database_password_version) == var.database_password_version
    error_message = "database_password_version: a whole number, at least 1."
  }
}

variable "vpc_id" {
  description = "An existing VPC; empty: the default one of the region."
  type        = string
  default     = ""
  validation {
    condition     = var.vpc_id == "" || can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id: empty, or an id such as vpc-0123456789abcdef0."
  }
}

variable "subnet_ids" {
  description = "Public subnets of the VPC in two zones or more; empty: all default subnets."
  type        = list(string)
  default     = []
  validation {
    condition     = length(var.subnet_ids) != 1 && alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "subnet_ids: none, or the ids of at least two subnets: a database needs two zones."
  }
}

variable "operator_cidr" {
  description = "Network that may reach the webserver directly, over plain HTTP and without a password; empty: none, use the tunnel."
  type        = string
  default     = ""
  validation {
    condition     = var.operator_cidr == "" || (can(cidrnetmask(var.operator_cidr)) && try(tonumber(split("/", var.operator_cidr)[1]) >= 24, false))
    error_message = "operator_cidr: a network of your own such as 203.0.113.7/32, no wider than /24."
  }
}

# Sizes. A Fargate task takes certain pairs of CPU and memory only; a run's is in infrastructure/dagster/aws/dagster.yaml.

variable "collector_cpu" {
  description = "Units of the collector, 1024 a core."
  type        = number
  default     = 256
  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.collector_cpu)
    error_message = "collector_cpu: 256, 512, 1024, 2048 or 4096."
  }
}

variable "collector_memory" {
  description = "MiB of the collector. 5,000 channels with a million viewers present take 300."
  type        = number
  default     = 512
  validation {
    condition     = var.collector_memory == 512 && var.collector_cpu == 256 || var.collector_memory % 1024 == 0 && var.collector_memory >= 2 * var.collector_cpu && var.collector_memory <= 8 * var.collector_cpu
    error_message = "collector_memory: whole GiB (or 512, with a collector_cpu of 256), from twice to eight times collector_cpu."
  }
}

variable "dagster_cpu" {
  description = "Units of webserver, daemon and code server together, 1024 a core."
  type        = number
  default     = 512
  validation {
    condition     = contains([512, 1024, 2048, 4096], var.dagster_cpu)
    error_message = "dagster_cpu: 512, 1024, 2048 or 4096."
  }
}

variable "dagster_memory" {
  description = "MiB of the three together."
  type        = number
  default     = 2048
  validation {
    condition     = var.dagster_memory % 1024 == 0 && var.dagster_memory >= 2048 && var.dagster_memory >= 2 * var.dagster_cpu && var.dagster_memory <= 8 * var.dagster_cpu
    error_message = "dagster_memory: whole GiB, at least 2, from twice to eight times dagster_cpu."
  }
}

variable "database_class" {
  description = "Instance class of PostgreSQL."
  type        = string
  default     = "db.t4g.micro"
  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.database_class))
    error_message = "database_class: an instance class such as db.t4g.micro."
  }
}

variable "database_gb" {
  description = "Storage of PostgreSQL, which can only grow."
  type        = number
  default     = 20
  validation {
    condition     = var.database_gb >= 20 && floor(var.database_gb) == var.database_gb
    error_message = "database_gb: a whole number, at least 20."
  }
}

variable "collector_capacity" {
  description = "Where the collector runs. From Spot it moves to FARGATE by itself while Spot is scarce; FARGATE keeps it there."
  type        = string
  default     = "FARGATE_SPOT"
  validation {
    condition     = contains(["FARGATE_SPOT", "FARGATE"], var.collector_capacity)
    error_message = "collector_capacity: FARGATE_SPOT or FARGATE."
  }
}

variable "dagster_capacity" {
  description = "The same for webserver, daemon and code server."
  type        = string
  default     = "FARGATE_SPOT"
  validation {
    condition     = contains(["FARGATE_SPOT", "FARGATE"], var.dagster_capacity)
    error_message = "dagster_capacity: FARGATE_SPOT or FARGATE."
  }
}

variable "services_running" {
  description = "false stops the collector and Dagster and keeps everything else."
  type        = bool
  default     = true
}

variable "alert_email" {
  description = "Mailbox of the alerts; empty: the topic has no subscriber yet."
  type        = string
  default     = ""
  validation {
    condition     = var.alert_email == "" || can(regex("^[^@ ]+@[^@ ]+$", var.alert_email))
    error_message = "alert_email: an address."
  }
}

variable "snapshot_alarm_minutes" {
  description = "Minutes without a new snapshot in the lake until the alarm; windows take 5."
  type        = number
  default     = 20
  validation {
    condition     = var.snapshot_alarm_minutes >= 10 && var.snapshot_alarm_minutes % 5 == 0
    error_message = "snapshot_alarm_minutes: a multiple of 5, at least 10."
  }
}

variable "monthly_budget_usd" {
  description = "Budget of the whole account, in dollars; 0: none."
  type        = number
  default     = 50
  validation {
    condition     = var.monthly_budget_usd >= 0
    error_message = "monthly_budget_usd: 0 or more."
  }
}

variable "budget_stops_services" {
  description = "Whether the services are stopped when the budget is used up. Database and lake stay, and still cost."
  type        = bool
  default     = false
  validation {
    condition     = !var.budget_stops_services || var.monthly_budget_usd > 0
    error_message = "budget_stops_services: needs a budget, so monthly_budget_usd must be above 0."
  }
}

variable "spark" {
  description = "Whether overlaps are counted by Spark, on EMR Serverless, instead of in the run's own task."
  type        = bool
  default     = false
}

variable "spark_release" {
  description = "Release of EMR with Spark 3.5 and Python 3.10 or newer; where its Python is older, see spark_image."
  type        = string
  default     = "emr-7.13.0"
  validation {
    condition     = can(regex("^emr-([7-9]|[1-9][0-9])\\.[0-9]+\\.[0-9]+$", var.spark_release))
    error_message = "spark_release: a label of EMR 7 or newer, such as emr-7.13.0."
  }
}

variable "spark_image" {
  description = "Your own image of that release, in a repository that EMR Serverless may read; empty: the release's own."
  type        = string
  default     = ""
  validation {
    condition     = var.spark_image == "" || can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9.-]+/[^:]+:[^:]+$", var.spark_image)) && !endswith(var.spark_image, ":latest")
    error_message = "spark_image: an image in ECR with a tag that never changes, not latest."
  }
}

variable "spark_max_vcpus" {
  description = "Most vCPUs, with 4 GB each, that jobs may use at once."
  type        = number
  default     = 48
  validation {
    condition     = var.spark_max_vcpus >= 4 && floor(var.spark_max_vcpus) == var.spark_max_vcpus
    error_message = "spark_max_vcpus: a whole number, at least 4."
  }
}
