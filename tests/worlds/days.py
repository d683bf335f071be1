"""Days of snapshots of a few groups of channels, and the daily job over them."""

import random
from collections import defaultdict
from datetime import UTC, date, datetime

import dagster as dg

from collector_service.contract import SnapshotRecord, encode_object, live_key
from collector_service.lake import Lake
from tests.worlds.records import snapshot
from vieweratlas_dagster.commands.run_jobs import run_partition
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.settings import Settings

FIRST = date(2026, 3, 1)
GAMES = {("en", "Chess"): 6, ("en", "Minecraft"): 6, ("es", "Chess"): 6, ("ko", "VALORANT"): 6}
ANALYSIS = {"min_channel_viewers": 5, "overlap_threshold": 2}
# Channels of one group share more viewers than this, most others fewer.
FLOOR = 50


def planted_day(day: date, seed: int = 1) -> list[SnapshotRecord]:
    """Four groups of six channels with viewers of their own, a few who cross, and two listed bots."""
    rng = random.Random(f"{seed}{day}")
    groups = [(group, number) for group, count in GAMES.items() for number in range(count)]
    audience = defaultdict(dict)
    for viewer in range(800):
        home = viewer % len(GAMES)
        mine = [place for place, (group, _) in enumerate(groups) if list(GAMES).index(group) == home]
        pool = mine if rng.random() < 0.9 else range(len(groups))
        for place in rng.sample(list(pool), 3):
            audience[place][1000 + viewer] = rng.randint(1, 4)
    start = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
    return [
        snapshot(
            place + 1,
            channel=f"{language}_{game.lower()}_{number}",
            window_start=start,
            viewer_count=50,
            game_name=game,
            language=language,
            messages=sum(audience[place].values()),
            viewer_keys=[7, 8, *sorted(audience[place])],
            viewer_messages=[1, 1, *(audience[place][key] for key in sorted(audience[place]))],
            known_bots=[7, 8],
        )
        for place, ((language, game), number) in enumerate(groups)
    ]


def three_groups(day: date) -> list[SnapshotRecord]:
    """Twelve channels in three groups, each viewer in three channels of one group."""
    rng = random.Random(1)
    audiences = [{} for _ in range(12)]
    for viewer in range(300):
        for place in rng.sample(range(viewer % 3, 12, 3), 3):
            audiences[place][1000 + viewer] = rng.randint(1, 4)
    start = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
    return [
        snapshot(
            place + 1,
            channel=f"channel_{place}",
            window_start=start,
            viewer_count=50,
            game_name=("Chess", "Minecraft", "VALORANT")[place % 3],
            language="en",
            messages=sum(audience.values()),
            viewer_keys=sorted(audience),
            viewer_messages=[audience[key] for key in sorted(audience)],
            known_bots=[],
        )
        for place, audience in enumerate(audiences)
    ]


def settings_for(folder, **analysis) -> Settings:
    return Settings(
        storage={"dir": folder / "lake"},
        analysis=ANALYSIS | analysis,
        privacy={"min_shared_published": FLOOR},
    )


def put_day(lake: Lake, day: date, records: list[SnapshotRecord]) -> None:
    start = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
    lake.put(live_key(start, "c1"), encode_object(records))


def run_day(settings: Settings, day: date, instance: dg.DagsterInstance):
    return run_partition(build_definitions(settings), "analysis_daily", day.isoformat(), instance)
