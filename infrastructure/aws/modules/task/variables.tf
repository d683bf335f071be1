variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "kind" {
  description = "Which task this is: the end of its names."
  type        = string
}

variable "image" {
  description = "Image with its tag, of every container."
  type        = string
}

variable "repository_arn" {
  description = "Repository of the image."
  type        = string
}

variable "cpu" {
  description = "Units, 1024 a core."
  type        = number
}

variable "memory" {
  description = "MiB."
  type        = number
}

variable "cpu_architecture" {
  description = "X86_64 or ARM64."
  type        = string
}

variable "policy" {
  description = "Rights of the programs in the task, as JSON."
  type        = string
}

variable "containers" {
  description = "By name. secrets: variable -> full ARN. memory: MiB that are set aside. after: containers that must be healthy first. health: a command that ends with 0."
  type = map(object({
    command     = list(string)
    environment = map(string)
    secrets     = map(string)
    memory      = number
    health      = optional(list(string), [])
    after       = optional(list(string), [])
  }))
}
