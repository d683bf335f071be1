"""The object of the opt-outs."""

import json

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from collector_service.privacy.opt_outs import MAX_BYTES, BadOptOutsError, OptOuts
from collector_service.settings import SettingsError

SOME = OptOuts(frozenset({2**64 - 1, 0, 17}), frozenset({2**63 - 1, 5}), frozenset({"someone", "x_1"}))
MORE = OptOuts(SOME.viewer_keys | {99}, SOME.channel_ids, SOME.channels)

everything = st.builds(
    OptOuts,
    st.frozensets(st.integers(0, 2**64 - 1)),
    st.frozensets(st.integers(0, 2**63 - 1)),
    st.frozensets(st.from_regex(r"[a-z0-9_]{1,25}", fullmatch=True)),
)


def test_the_object_as_people_know_it():
    assert json.loads(SOME.to_bytes()) == {
        "schema_version": 1,
        "viewer_keys": ["0", "17", "18446744073709551615"],
        "channel_ids": ["5", "9223372036854775807"],
        "channels": ["someone", "x_1"],
    }


@examples(deadline=None, max_examples=50)
@given(everything)
def test_what_is_written_is_read_again(some):
    assert OptOuts.from_bytes(some.to_bytes()) == some
    turned = OptOuts(*(frozenset(reversed(list(one))) for one in vars(some).values()))
    assert turned.to_bytes() == some.to_bytes()


def test_which_channels_are_meant():
    assert SOME.has_channel("someone", None)
    assert SOME.has_channel("someone", 6)
    assert SOME.has_channel("renamed", 5)
    assert not SOME.has_channel("another", 6)
    assert not SOME.has_channel("another", None)


def changed(**fields):
    return json.dumps(json.loads(SOME.to_bytes()) | fields).encode()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "Invalid JSON"),
        (SOME.to_bytes()[:-3], "Invalid JSON"),
        (b"\xff\xfe\xff", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b"[]", "Input should be an object"),
        (b"null", "Input should be an object"),
        (changed(schema_version=2), "schema_version: 2 is not the version 1"),
        (changed(schema_version=True), "schema_version: True"),
        (changed(schema_version="1"), "schema_version: '1'"),
        (b"{}", "schema_version: Field required"),
        (b'{"schema_version": 1}', "viewer_keys: Field required"),
        (changed(viewer_key=[]), "viewer_key: Unexpected keyword argument"),
        (changed(viewer_keys={}), "viewer_keys: Input should be a valid array"),
        (
            changed(viewer_keys=["1", 2]),
            "viewer_keys.1: not a decimal text below 18446744073709551616",
        ),
        (changed(viewer_keys=[str(2**64)]), "viewer_keys.0: not a decimal"),
        (changed(viewer_keys=["-1"]), "viewer_keys.0: not a decimal"),
        (changed(viewer_keys=["٣"]), "viewer_keys.0: not a decimal"),
        (changed(viewer_keys=["1" * 5000]), "viewer_keys.0: not a decimal"),
        (changed(channel_ids=[str(2**63)]), "channel_ids.0: not a decimal"),
        (changed(channel_ids=[None]), "channel_ids.0: not a decimal"),
        (changed(channels=["ok", "Upper"]), r"channels.1: not a login \(a-z, 0-9 and _\)"),
        (changed(channels=[["a"]]), "channels.0: not a login"),
    ],
)
def test_whatever_else_is_refused_and_explained(data, problem):
    with pytest.raises(
        SettingsError, match=rf"^the lake/it cannot be read \({problem}.*put an earlier version back"
    ) as failure:
        OptOuts.from_bytes(data, "the lake/it")
    assert len(str(failure.value)) < 400
    assert "\n" not in str(failure.value)


def test_an_object_is_read_up_to_its_bound():
    whole = SOME.to_bytes().ljust(MAX_BYTES)
    assert OptOuts.from_bytes(whole) == SOME
    with pytest.raises(BadOptOutsError, match="bytes, more than the"):
        OptOuts.from_bytes(whole + b" ")
