# A secret whose value is drawn here and never seen: it is written to Secrets Manager alone, not to the state.

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

resource "aws_secretsmanager_secret" "this" {
  name                    = var.name
  description             = var.description
  recovery_window_in_days = var.recovery_days
}

# A new one is drawn at every plan, and written only when the version changes.
ephemeral "aws_secretsmanager_random_password" "this" {
  password_length     = var.characters
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret_version" "this" {
  secret_id                = aws_secretsmanager_secret.this.id
  secret_string_wo         = ephemeral.aws_secretsmanager_random_password.this.random_password
  secret_string_wo_version = var.value_version
}

ephemeral "aws_secretsmanager_secret_version" "this" {
  secret_id  = aws_secretsmanager_secret_version.this.secret_id
  version_id = aws_secretsmanager_secret_version.this.version_id
}

output "arn" {
  value = aws_secretsmanager_secret.this.arn
}

output "value" {
  description = "The stored one, not the drawn one: after an interruption between two writes, they differ."
  value       = ephemeral.aws_secretsmanager_secret_version.this.secret_string
  ephemeral   = true
}
