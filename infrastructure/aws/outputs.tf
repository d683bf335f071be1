# Values for the operators' scripts and for people.

output "bucket" {
  value = aws_s3_bucket.lake.id
}

output "lake_prefix" {
  value = var.lake_prefix
}

output "cluster" {
  value = aws_ecs_cluster.this.name
}

output "services" {
  description = "Names, by kind."
  value       = { for key, service in aws_ecs_service.this : key => service.name }
}

output "repositories" {
  description = "Repositories of the images, by kind."
  value       = { for key, repository in aws_ecr_repository.image : key => repository.repository_url }
}

output "image_tag" {
  value = var.image_tag
}

output "run_task_definition" {
  description = "With the revision, of scheduled runs."
  value       = module.run.definition_arn
}

output "twitch_secrets" {
  description = "ARNs of the secrets whose values are put in by hand."
  value       = { for key, secret in aws_secretsmanager_secret.twitch : key => secret.arn }
}

output "alerts_topic" {
  value = aws_sns_topic.alerts.arn
}

output "spark_application" {
  description = "Id of the EMR Serverless application; empty without one."
  value       = var.spark ? aws_emrserverless_application.spark[0].id : ""
}

output "task_definitions" {
  description = "With the revision, of the services: these must run after a deployment."
  value       = { collector = module.collector.definition_arn, dagster = module.dagster.definition_arn }
}
