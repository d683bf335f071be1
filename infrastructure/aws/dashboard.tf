# One page of CloudWatch: the watched metrics, and the state of every alarm.

locals {
  charts = [for name in sort(keys(local.alarms)) : {
    name   = name
    metric = concat([local.alarms[name].namespace, local.alarms[name].metric], flatten([for key, value in local.alarms[name].dimensions : [key, value]]))
    stat   = local.alarms[name].statistic
  }]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type       = "alarm", x = 0, y = 0, width = 24, height = 3
        properties = { title = "Alarms", alarms = [for name in sort(keys(local.alarms)) : aws_cloudwatch_metric_alarm.this[name].arn] }
      }],
      [for position, chart in local.charts : {
        type = "metric", x = position % 3 * 8, y = 3 + floor(position / 3) * 6, width = 8, height = 6
        properties = {
          title = chart.name, region = var.region, period = 300, stat = chart.stat, metrics = [chart.metric]
        }
      }],
    )
  })
}
