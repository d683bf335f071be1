#!/usr/bin/env bash
# Sees to it that the tests of infrastructure/aws have a Terraform, and prints the folder that its AWS provider is
# installed from: TF_PLUGIN_DIR, or one that this machine has. Nothing is printed where `terraform init` is to ask online.
set -euo pipefail

oldest=11 # 1.11 brought the write-only arguments
terraform=${TERRAFORM:-terraform}
if ! command -v "$terraform" >/dev/null; then
    echo "The tests of infrastructure/aws need Terraform 1.$oldest or newer, which no package of Debian brings:" \
        "install it (developer.hashicorp.com/terraform/install), or set TERRAFORM to the program." >&2
    exit 1
fi
version=$(unset TF_CLI_CONFIG_FILE; CHECKPOINT_DISABLE=1 "$terraform" version | sed -nE '1s/^Terraform v//p')
IFS=. read -r major minor _ <<<"$version"
if [ "${major:-0}" -lt 1 ] || { [ "$major" = 1 ] && [ "$minor" -lt "$oldest" ]; }; then
    echo "$terraform is version ${version:-unknown}; infrastructure/aws needs 1.$oldest or newer." >&2
    exit 1
fi
holds_provider() { [ -d "$1/registry.terraform.io/hashicorp/aws" ]; }
if [ -n "${TF_PLUGIN_DIR:-}" ]; then
    if ! holds_provider "$TF_PLUGIN_DIR"; then
        echo "TF_PLUGIN_DIR is $TF_PLUGIN_DIR, where there is no registry.terraform.io/hashicorp/aws." >&2
        exit 1
    fi
    echo "$TF_PLUGIN_DIR"
    exit 0
fi
for folder in /opt/* /usr/local/share/terraform/plugins /usr/share/terraform/plugins; do
    if holds_provider "$folder"; then
        echo "$folder"
        exit 0
    fi
done
