"""What groups are called on the page's and the picture's map."""

import base64
import dataclasses
import json
import zlib

import polars as pl

from tests.worlds.map_history import planted_days
from vieweratlas_dagster.publish.history import History, encode_history
from vieweratlas_dagster.publish.map_names import with_short_names
from vieweratlas_dagster.publish.page import encode
from vieweratlas_dagster.publish.picture import plan
from vieweratlas_dagster.tables import EVENTS

NAMED = {"Around anna": True, "Around the World": False, "Chess": False, "Around bert & cleo": True}


def shortened(named):
    groups = pl.DataFrame(
        {"label": list(named), "generic": list(named.values())},
        schema={"label": pl.String, "generic": pl.Boolean},
    )
    return with_short_names(groups)["short"].to_list()


def test_being_around_a_channel_goes_without_saying():
    assert shortened(NAMED) == ["anna", "Around the World", "Chess", "bert & cleo"]


def test_no_two_groups_are_called_the_same_on_a_map_not_even_in_capitals():
    assert shortened({"Around chess": True, "Chess": False}) == ["Around chess", "Chess"]
    assert shortened({}) == []


def test_page_earlier_days_and_picture_use_the_short_names():
    today, earlier = (
        dataclasses.replace(
            day,
            communities=day.communities.with_columns(generic=True, label="Around " + pl.col("label")),
        )
        for day in planted_days(60, 2)
    )
    data = encode(today.nodes, today.edges, today.communities, facts={"min_shared_published": 5})
    for level in ("regions", "communities"):
        assert data[level]["label"] == [f"Around {name}" for name in data[level]["short"]]
    made = encode_history(History([earlier], today.name, EVENTS.empty()), floor=5, budget=10**9)
    past = json.loads(zlib.decompress(base64.b64decode(made.data)))
    texts, groups = past["texts"], past["days"][0]["communities"]
    assert [texts[at] for at in groups["label"]] == [f"Around {texts[at]}" for at in groups["short"]]
    drawn = plan(today.nodes, today.edges, today.communities, width=1000)
    names = {name.text for name in drawn.names if name.bold}
    assert names & set(data["communities"]["short"])
    assert not any(name.startswith("Around ") for name in names)
