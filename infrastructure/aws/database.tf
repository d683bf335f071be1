# Dagster's memory: runs, events, schedules. PostgreSQL on RDS. The lake does not depend on it.

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = local.subnets
}

resource "aws_db_instance" "dagster" {
  identifier                 = var.name
  engine                     = "postgres"
  engine_version             = "16"
  auto_minor_version_upgrade = true
  instance_class             = var.database_class
  allocated_storage          = var.database_gb
  storage_type               = "gp3"
  storage_encrypted          = true
  db_name                    = "dagster"
  username                   = "dagster"
  password_wo                = module.database_password.value
  password_wo_version        = var.database_password_version
  db_subnet_group_name       = aws_db_subnet_group.this.name
  vpc_security_group_ids     = [aws_security_group.this["database"].id]
  publicly_accessible        = false
  backup_retention_period    = 7
  copy_tags_to_snapshot      = true
  deletion_protection        = var.protect_data
  skip_final_snapshot        = !var.protect_data
  final_snapshot_identifier  = "${var.name}-final"
  apply_immediately          = true
}
