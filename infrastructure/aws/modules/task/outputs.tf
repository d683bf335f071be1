output "definition_arn" {
  description = "With the revision."
  value       = aws_ecs_task_definition.this.arn
}

output "family" {
  value = aws_ecs_task_definition.this.family
}

output "role_arns" {
  description = "Who starts the task must be allowed to pass these."
  value       = [aws_iam_role.execution.arn, aws_iam_role.task.arn]
}

output "log_group" {
  value = aws_cloudwatch_log_group.this.name
}

output "log_group_arn" {
  value = aws_cloudwatch_log_group.this.arn
}
