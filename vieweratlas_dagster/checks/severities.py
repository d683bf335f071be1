"""Every asset check with its severity, unless ``checks.severities`` of the settings says otherwise.

Belongs here: names and severities alone, so that the settings can know them. ERROR only where bad data
must not reach the published atlas: there it stops what depends on the asset.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Severity = Literal["WARN", "ERROR"]

SEVERITIES: Mapping[str, Severity] = {
    # Of the present, on a schedule of their own.
    "live_chat_is_fresh": "WARN",
    "live_hours_are_complete": "WARN",
    "vod_queue_moves": "WARN",
    "vods_can_be_read": "WARN",
    "atlas_of_yesterday_exists": "WARN",
    # Of a day, in the run that makes it.
    "quarantine_is_small": "WARN",
    "day_has_data": "WARN",
    "presence_follows_contract": "ERROR",
    "presence_refers_to_channels": "ERROR",
    "volume_is_usual": "WARN",
    "channels_follow_contract": "ERROR",
    "channels_were_observed": "WARN",
    "audiences_follow_contract": "ERROR",
    "graph_follows_contract": "ERROR",
    "overlap_is_possible": "ERROR",
    "exclusions_are_bounded": "WARN",
    "partition_follows_contract": "ERROR",
    "partition_refers_to_audiences": "ERROR",
    "communities_hold_together": "WARN",
    "community_sizes_are_plausible": "WARN",
    "communities_are_stable": "WARN",
    "communities_follow_contract": "ERROR",
    "communities_refer_to_partition": "ERROR",
    "communities_have_names": "WARN",
    "nodes_follow_contract": "ERROR",
    "nodes_refer_to_communities": "ERROR",
    "atlas_is_complete": "ERROR",
}
