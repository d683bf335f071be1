# Versions of Terraform and its provider. Write-only arguments, which keep passwords out of the state, came with 1.11.
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = merge(var.tags, { project = var.name, managed_by = "terraform" })
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
