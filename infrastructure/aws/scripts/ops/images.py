"""The image registry: its images, and how to log in."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from .platform_on_aws import SERVICES, Platform


@dataclass(frozen=True)
class Login:
    """Host and password for `docker login`."""

    registry: str
    password: str


def missing_images(platform: Platform, tag: str) -> list[str]:
    """The kinds of images without this tag, also those without a repository."""
    ecr = platform.client("ecr")
    missing = []
    for kind in SERVICES:
        try:
            ecr.describe_images(repositoryName=platform.full_name(kind), imageIds=[{"imageTag": tag}])
        except (ecr.exceptions.ImageNotFoundException, ecr.exceptions.RepositoryNotFoundException):
            missing.append(kind)
    return missing


def known_tags(platform: Platform) -> list[str]:
    """The tags that both repositories have, newest image of Dagster first."""
    ecr = platform.client("ecr")
    pushed: dict[str, dict[str, float]] = {}
    for kind in SERVICES:
        pages = ecr.get_paginator("describe_images").paginate(repositoryName=platform.full_name(kind))
        try:
            images = [image for page in pages for image in page["imageDetails"]]
        except ecr.exceptions.RepositoryNotFoundException:
            images = []
        pushed[kind] = {
            tag: image["imagePushedAt"].timestamp()
            for image in images
            for tag in image.get("imageTags", [])
        }
    both = pushed["collector"].keys() & pushed["dagster"].keys()
    return sorted(both, key=lambda tag: pushed["dagster"][tag], reverse=True)


def missing_repositories(platform: Platform) -> list[str]:
    """The kinds of images without a repository."""
    ecr = platform.client("ecr")
    missing = []
    for kind in SERVICES:
        try:
            ecr.describe_repositories(repositoryNames=[platform.full_name(kind)])
        except ecr.exceptions.RepositoryNotFoundException:
            missing.append(kind)
    return missing


def login(platform: Platform) -> Login:
    """A login for twelve hours."""
    [data] = platform.client("ecr").get_authorization_token()["authorizationData"]
    _, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    account = platform.client("sts").get_caller_identity()["Account"]
    # China's regions have a different domain: the token's address has it.
    domain = data["proxyEndpoint"].partition(".dkr.")[2] or f"ecr.{platform.region}.amazonaws.com"
    return Login(f"{account}.dkr.{domain}", password)
