# Stands in for modules/drawn_secret in tests with a mocked provider, which has no mocks of what is never stored.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "name" {
  description = "Of the secret."
  type        = string
}

variable "description" {
  type = string
}

variable "characters" {
  description = "Number of letters and digits to draw."
  type        = number
}

variable "value_version" {
  description = "A different one draws a different value."
  type        = number
}

variable "recovery_days" {
  description = "How long a deleted secret can be brought back: 0, or 7 to 30."
  type        = number
}

variable "value" {
  description = "Only what is never stored may leave by the output."
  type        = string
  default     = "mock"
  ephemeral   = true
}

resource "aws_secretsmanager_secret" "this" {
  name                    = var.name
  description             = var.description
  recovery_window_in_days = var.recovery_days
}

output "arn" {
  value = aws_secretsmanager_secret.this.arn
}

output "value" {
  value     = var.value
  ephemeral = true
}
