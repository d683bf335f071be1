"""A planted world of channels as an atlas's tables, and its page as a file."""

import math
import random
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from vieweratlas_dagster import tables
from vieweratlas_dagster.publish.page import render_page

REGIONS = {1: ("English", "#1b6ca8"), 2: ("German", "#b8572c"), 3: ("Korean", "#3d8b5a")}
GAMES = ["Chess", "Rocket League", "Minecraft"]
LANGUAGES = {1: "en", 2: "de", 3: "ko"}


@dataclass
class Planted:
    """The three tables of an atlas, and the facts that go with them."""

    nodes: pl.DataFrame
    edges: pl.DataFrame
    communities: pl.DataFrame
    facts: dict[str, object] = field(default_factory=dict)

    def neighbours(self, channel: str) -> list[tuple[str, int]]:
        """Every pair of the channel at or above the floor, strongest first, larger audience first."""
        audience = dict(self.nodes.select("channel", "viewers").iter_rows())
        found = [
            (target if source == channel else source, shared)
            for source, target, shared in self.edges.select(
                "source", "target", "shared_viewers"
            ).iter_rows()
            if channel in (source, target) and shared >= 5
        ]
        return sorted(found, key=lambda one: (-one[1], -audience[one[0]], one[0]))

    def largest(self) -> str:
        """The channel with the largest audience."""
        return self.nodes.sort("viewers", "channel", descending=[True, False])["channel"][0]


def planted(channels: int = 216, names: dict[int, str] | None = None) -> Planted:
    """Three regions of three communities each; pairs mostly inside them, some below the floor.

    Args:
        channels: how many; the last tenth has no pair and no community.
        names: other names for some positions.
    """
    rng = random.Random(7)
    settled = channels - channels // 10
    called = [(names or {}).get(at, f"streamer_{at:03}") for at in range(channels)]
    rows = []
    for at, name in enumerate(called):
        region, group = at % 3 + 1, at // 3 % 3
        community = 10 * region + group if at < settled else None
        middle = (math.cos(2.1 * region) * 0.6, math.sin(2.1 * region) * 0.6)
        turn, reach = rng.random() * math.tau, 0.16 * math.sqrt(rng.random())
        x = middle[0] + 0.24 * math.cos(2.1 * group) + reach * math.cos(turn)
        y = middle[1] + 0.24 * math.sin(2.1 * group) + reach * math.sin(turn)
        if community is None:
            x, y = math.cos(at), math.sin(at)
        rows.append(
            {
                "channel": name,
                "viewers": 400 + int(20_000 / (at + 1)) + at,
                "game_name": GAMES[group],
                "language": LANGUAGES[region],
                "community": community,
                "region": region if community else None,
                "label": f"{REGIONS[region][0]} {GAMES[group]}" if community else None,
                "region_label": REGIONS[region][0] if community else None,
                "x": x,
                "y": y,
                "degree": 0,
                "color": REGIONS[region][1] if community else "#888888",
            }
        )
    pairs = []
    for one in range(settled):
        for other in range(one + 1, settled):
            near = rows[one]["community"] == rows[other]["community"]
            if rng.random() < (0.7 if near else 0.03):
                ends = sorted((called[one], called[other]))
                pairs.append((*ends, rng.randint(20, 300) if near else rng.randint(1, 20)))
    edges = [
        {"source": source, "target": target, "shared_viewers": shared, "weight": shared}
        for source, target, shared in pairs
    ]
    nodes = pl.DataFrame(rows, schema=tables.NODES.schema)
    return Planted(
        nodes,
        pl.DataFrame(edges, schema=tables.EDGES.schema),
        _communities(nodes),
        {
            "title": "Planted atlas",
            "date_from": "2026-01-04",
            "date_to": "2026-01-10",
            "window_days": 7,
            "modularity": 0.7261,
            "algorithm": "leiden",
            "min_shared_published": 5,
        },
    )


def _communities(nodes: pl.DataFrame) -> pl.DataFrame:
    rows = []
    for level, label in (("region", "region_label"), ("community", "label")):
        for key, members in nodes.drop_nulls(level).group_by(level, maintain_order=True):
            rows.append(
                {
                    "id": key[0],
                    "level": level,
                    "label": members[label][0],
                    "reason": "planted",
                    "confidence": 1.0,
                    "generic": False,
                    "size": members.height,
                    "viewers": members["viewers"].sum(),
                    "parent": members["region"][0] if level == "community" else None,
                    "color": members["color"][0],
                    "newest_id": 99,
                }
            )
    return pl.DataFrame(rows, schema=tables.COMMUNITIES.schema)


def write(world: Planted, folder: Path) -> Path:
    """The world's page as atlas.html in the folder."""
    path = folder / "atlas.html"
    path.write_bytes(render_page(world.nodes, world.edges, world.communities, facts=world.facts))
    return path
