# Secrets. Their values are never in the state: people put in Twitch's, and the key and the database's password are
# drawn.

resource "aws_secretsmanager_secret" "twitch" {
  for_each                = toset(["oauth_token", "client_id", "client_secret"])
  name                    = "${var.name}/twitch/${each.key}"
  description             = "Twitch ${each.key}, from your own application"
  recovery_window_in_days = var.protect_data ? 7 : 0
}

# Its version never changes: with a different key, no viewer would be recognised again.
module "viewer_key" {
  source        = "./modules/drawn_secret"
  name          = "${var.name}/viewer_key"
  description   = "Key of the viewers' pseudonyms. With a different one, no viewer is recognised again"
  characters    = 48
  value_version = 1
  recovery_days = var.protect_data ? 30 : 0
}

# RDS' own password management would change it behind the back of long-running tasks.
module "database_password" {
  source        = "./modules/drawn_secret"
  name          = "${var.name}/database_password"
  description   = "Password of Dagster's PostgreSQL"
  characters    = 40
  value_version = var.database_password_version
  recovery_days = var.protect_data ? 7 : 0
}

locals {
  twitch_secrets = { for key in var.twitch_secrets : "TWITCH_${upper(key)}" => aws_secretsmanager_secret.twitch[key].arn }
  viewer_key     = { VIEWER_KEY_SECRET = module.viewer_key.arn }
  database_login = { DAGSTER_PG_PASSWORD = module.database_password.arn }
}
