# Public subnets without a NAT gateway, which would cost more than everything else. Nothing can be reached from
# outside, unless var.operator_cidr opens the webserver.

data "aws_vpc" "this" {
  id      = var.vpc_id != "" ? var.vpc_id : null
  default = var.vpc_id == "" ? true : null
}

data "aws_subnets" "default" {
  count = length(var.subnet_ids) == 0 ? 1 : 0
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.this.id]
  }
  filter {
    name   = "default-for-az"
    values = ["true"]
  }
}

locals {
  subnets = length(var.subnet_ids) > 0 ? var.subnet_ids : sort(data.aws_subnets.default[0].ids)
  groups = {
    collector = "The collector: Twitch and AWS, no way in"
    dagster   = "Webserver, daemon and code server: AWS and the database"
    run       = "Runs: Twitch, AWS and the database, no way in"
    database  = "PostgreSQL: from Dagster only, no way out"
  }
  # Chat over TLS; the rest of Twitch and all of AWS is HTTPS.
  ways_out = {
    "collector-https" = { from = "collector", port = 443 }
    "collector-chat"  = { from = "collector", port = 6697 }
    "dagster-https"   = { from = "dagster", port = 443 }
    "run-https"       = { from = "run", port = 443 }
  }
}

resource "aws_security_group" "this" {
  for_each    = local.groups
  name        = "${var.name}-${each.key}"
  description = each.value
  vpc_id      = data.aws_vpc.this.id
  tags        = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_security_group_egress_rule" "internet" {
  for_each          = local.ways_out
  security_group_id = aws_security_group.this[each.value.from].id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "database" {
  for_each                     = toset(["dagster", "run"])
  security_group_id            = aws_security_group.this[each.key].id
  referenced_security_group_id = aws_security_group.this["database"].id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  for_each                     = toset(["dagster", "run"])
  security_group_id            = aws_security_group.this["database"].id
  referenced_security_group_id = aws_security_group.this[each.key].id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_vpc_security_group_ingress_rule" "operator" {
  count             = var.operator_cidr == "" ? 0 : 1
  security_group_id = aws_security_group.this["dagster"].id
  cidr_ipv4         = var.operator_cidr
  ip_protocol       = "tcp"
  from_port         = local.webserver_port
  to_port           = local.webserver_port
}
