"""TwitchDownloaderCLI's chat files, good and bad."""

import gzip
import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector_service.twitch import vod_json
from collector_service.twitch.vod_chat import VodComment
from collector_service.twitch.vod_json import (
    CHUNK_CHARACTERS,
    ChatJsonError,
    open_chat_json,
    read_chat_json,
)


def entry(number, offset, commenter="default", badges=None):
    if commenter == "default":
        commenter = {
            "display_name": "Näme", "_id": str(100 + number), "name": f"login{number}", "bio": None,
            "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z", "logo": None,
        }  # fmt: skip
    return {
        "_id": f"id-{number}",
        "created_at": "2026-01-02T03:04:05Z",
        "channel_id": "9",
        "content_type": "video",
        "content_id": "555",
        "content_offset_seconds": offset,
        "commenter": commenter,
        "message": {
            "body": 'SECRET "TEXT" ] } ☃',
            "bits_spent": 0,
            "fragments": [{"text": "SECRET TEXT", "emoticon": None}],
            "user_badges": badges,
            "user_color": "#FF0000",
            "emoticons": [],
        },
    }


def document(comments=(), **changes):
    root = {
        "FileInfo": {"Version": {"Major": 1, "Minor": 4, "Patch": 0}, "CreatedAt": "2026-01-03T00:00:00Z"},
        "number": 1234567890.5,
        "streamer": {"name": "Alpha", "login": "alpha", "id": 9},
        "video": {
            "title": "A title", "description": None, "id": "555", "created_at": "2026-01-02T03:04:05Z",
            "start": 0, "end": 3600, "length": 3600, "viewCount": 7, "game": "Chess", "chapters": [],
        },
        "comments": comments if comments is ... or isinstance(comments, dict) else list(comments),
        "embeddedData": {"thirdParty": []},
    }  # fmt: skip
    for path, value in changes.items():
        section, _, field = path.partition("__")
        if not field:
            root[section] = value
        elif value is ...:
            del root[section][field]
        else:
            root[section][field] = value
    return {key: value for key, value in root.items() if value is not ...}


def compact(root):
    """The text as TwitchDownloaderCLI writes it."""
    return json.dumps(root, ensure_ascii=False, separators=(",", ":"))


def read(root, chunk=CHUNK_CHARACTERS, *, encode=str.encode):
    text = root if isinstance(root, str) else json.dumps(root, ensure_ascii=False)
    chat = read_chat_json(io.BytesIO(encode(text)), "chat.json", chunk)
    return chat, list(chat.comments)


@pytest.mark.parametrize(
    "encode",
    [str.encode, lambda text: text.encode("utf-8-sig"), lambda text: gzip.compress(text.encode())],
    ids=["plain", "with mark", "gzip"],
)
def test_reads_a_real_shape(encode):
    comments = [
        entry(0, 0),
        entry(1, 1.5, badges=[{"_id": "bot-badge", "version": "1"}]),
        entry(2, 2, commenter=None),
        entry(1, 1.5),
    ]
    del comments[3]["message"]
    missing = entry(3, 3)
    del missing["commenter"]
    mirrored = entry(4, 4) | {"channel_id": "10"}
    chat, got = read(document([*comments, missing, mirrored]), encode=encode)
    assert chat.vod.vod_id == "555"
    assert (chat.vod.channel, chat.vod.channel_id, chat.vod.title) == ("alpha", 9, "A title")
    assert chat.vod.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (chat.vod.duration_seconds, chat.covered) == (3600, (0, 3600))
    assert got == [
        VodComment("id-0", 0.0, "100", "login0", is_bot=False),
        VodComment("id-1", 1.5, "101", "login1", is_bot=True),
        VodComment("id-2", 2.0, None, None, is_bot=False),
        VodComment("id-3", 3.0, None, None, is_bot=False),
        VodComment("id-4", 4.0, "104", "login4", is_bot=False, mirrored=True),
    ]


def test_an_indented_file_a_cropped_video_and_an_older_streamer():
    root = document([entry(0, 700)], video__start=600, video__end=1200, streamer__login=...)
    chat, got = read(json.dumps(root, indent=4))
    assert chat.covered == (600, 1200)
    assert chat.vod.channel == "alpha"
    assert len(got) == 1


def test_no_comments_is_a_chat():
    assert read(document())[1] == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"comments": ...}, "comments are missing"),
        ({"video": ...}, "video does not come before"),
        ({"streamer": []}, "streamer is not an object"),
        ({"streamer__id": "x"}, "streamer.id"),
        ({"streamer__name": "Ünï", "streamer__login": ...}, "login"),
        ({"video__id": None}, "VOD id"),
        ({"video__created_at": ...}, "video.created_at"),
        ({"video__created_at": "2026-01-02T03:04:05"}, "time zone"),
        ({"video__length": "long"}, "length"),
        ({"video__end": 0}, "do not fit"),
        ({"video__end": 1e11, "video__length": 1e11}, "its length"),
        ({"video__end": float("inf"), "video__length": float("inf")}, "its length"),
        ({"video__created_at": "9999-12-31T23:59:59Z"}, "year 9999"),
        ({"streamer__id": 2**64}, "channel's id"),
        ({"video__end": 9999}, "clip"),
        ({"comments": {}}, r"instead of '\['"),
        ({"comments": [7]}, r"comments\[0\] is not an object"),
        ({"comments": [entry(0, "x")]}, "content_offset_seconds"),
        ({"comments": [entry(0, 1) | {"_id": 5}]}, "_id"),
        ({"comments": [entry(0, 1), entry(1, 1, {"login": "SECRET"})]}, r"comments\[1\].commenter._id"),
        ({"comments": [entry(0, 1, {"_id": "5"})]}, "commenter.name"),
    ],
)
def test_refusals_name_the_place(changes, text):
    with pytest.raises(ChatJsonError, match=text) as caught:
        read(document(**changes))
    assert str(caught.value).startswith("chat.json: ")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '{"comments"', '{"a" 1}', '{"streamer": {]}', "{}"])
def test_other_files_are_refused(text):
    with pytest.raises(ChatJsonError, match=r"chat\.json"):
        read(text)


def test_every_truncation_is_noticed():
    text = json.dumps(document([entry(0, 1), entry(1, 2)]))
    end_of_comments = text.index(', "embeddedData"')
    for length in range(end_of_comments):
        with pytest.raises(ChatJsonError):
            read(text[:length])
    assert len(read(text[:end_of_comments])[1]) == 2


def test_the_checksum_of_a_gzip_is_looked_at_behind_the_last_comment():
    text = json.dumps(document([entry(0, 1)], embeddedData={"thirdParty": ["picture" * 50_000]}))
    packed = gzip.compress(text.encode(), compresslevel=0)
    assert len(list(read_chat_json(io.BytesIO(packed), "chat.json", 1000).comments)) == 1
    for data in (packed[:-4], packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]):
        with pytest.raises(ChatJsonError, match=r"chat\.json: cannot be unpacked"):
            list(read_chat_json(io.BytesIO(data), "chat.json", 1000).comments)


def test_a_torn_gzip_and_bad_bytes_are_refused(tmp_path):
    packed = gzip.compress(json.dumps(document([entry(i, i) for i in range(200)])).encode())
    for data in (packed[: len(packed) // 2], b"\x1f\x8bnot gzip", b'{"FileInfo": "\xff"}'):
        path = tmp_path / "chat.json"
        path.write_bytes(data)
        with pytest.raises(ChatJsonError, match=r"chat\.json"), open_chat_json(path) as chat:
            list(chat.comments)
    with pytest.raises(ChatJsonError, match="No such file"), open_chat_json(tmp_path / "none.json"):
        pass


@pytest.mark.parametrize("number", ["0.5", "12.25", "1e3", "1e-3", "2.5E+2", "7"])
def test_a_number_that_a_piece_cuts_anywhere_is_whole(number):
    text = json.dumps(document([entry(0, 98127)])).replace("98127", number)
    expected = [one.offset_seconds for one in read(text)[1]]
    assert expected == [float(number)]
    for chunk in range(1, len(text)):
        assert [one.offset_seconds for one in read(text, chunk)[1]] == expected


@settings(max_examples=50)
@example(chunk=61, offsets=[], indent=None)
@given(
    chunk=st.integers(1, 300),
    offsets=st.lists(st.floats(0, 3600, allow_nan=False), max_size=12),
    indent=st.sampled_from([None, 2]),
)
def test_pieces_of_any_size_give_the_same(chunk, offsets, indent):
    comments = [entry(number, offset) for number, offset in enumerate(offsets)]
    text = json.dumps(document(comments), indent=indent, ensure_ascii=False)
    got = read(text, chunk)[1]
    assert [(one.id, one.offset_seconds) for one in got] == [
        (f"id-{number}", offset) for number, offset in enumerate(offsets)
    ]


def outcome(text, boundary, chunk=CHUNK_CHARACTERS):
    """The comments up to the first error, and the error's text."""
    got, problem = [], None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vod_json, "_BOUNDARY", boundary)
        try:
            got.extend(read_chat_json(io.BytesIO(text.encode()), "chat.json", chunk).comments)
        except ChatJsonError as error:
            problem = str(error)
    return got, problem


ODD = [
    lambda one: one | {"_id": ""},
    lambda one: one | {"_id": None},
    lambda one: one | {"content_offset_seconds": 2.5},
    lambda one: one | {"content_offset_seconds": True},
    lambda one: one | {"content_offset_seconds": "2"},
    lambda one: one | {"commenter": None},
    lambda one: one | {"commenter": {"_id": "12x", "name": "n"}},
    lambda one: one | {"commenter": {"_id": "12\n", "name": "n"}},
    lambda one: one | {"commenter": {"_id": "١٢", "name": "n"}},
    lambda one: one | {"commenter": {"_id": "12"}},
    lambda one: one | {"commenter": "nobody"},
    lambda one: one | {"message": None},
    lambda one: one | {"message": "text"},
    lambda one: one | {"message": {"user_badges": ["bot-badge", {"_id": 3}, {"_id": "bot-badge"}]}},
    lambda one: one | {"message": {"body": '}},{"_id":"', "user_badges": None}},
    lambda one: one | {"message": {"fragments": [{"a": {"b": 1}}, {"_id": "inner"}]}},
    lambda one: one | {"channel_id": "10"},
    lambda one: one | {"channel_id": 10},
    lambda one: one | {"channel_id": ""},
    lambda one: one | {"further": [{}] * 3},
    lambda one: [one],
    lambda one: one,
]


@settings(max_examples=200)
@given(odd=st.lists(st.sampled_from([*ODD, *[ODD[-1]] * 40]), max_size=30), chunk=st.integers(20, 4_000))
def test_many_at_a_time_give_what_each_by_itself_gives(odd, chunk):
    comments = [change(entry(number, number)) for number, change in enumerate(odd)]
    text = compact(document(comments))
    assert outcome(text, vod_json._BOUNDARY, chunk) == outcome(text, "nowhere", chunk)


@given(at=st.integers(0, 10_000), byte=st.characters(min_codepoint=1, max_codepoint=255))
def test_damage_is_judged_as_it_is_one_by_one(at, byte):
    text = compact(document([entry(number, number) for number in range(8)]))
    at = text.index("[", text.index('"comments"')) + at % 2_000
    damaged = text[:at] + byte + text[at + 1 :]
    assert outcome(damaged, vod_json._BOUNDARY) == outcome(damaged, "nowhere")


def test_usual_comments_are_read_many_at_a_time(monkeypatch):
    single = []
    decode = vod_json._decode
    monkeypatch.setattr(vod_json, "_decode", lambda *place: single.append(place) or decode(*place))
    text = compact(document([entry(number, number) for number in range(3_000)]))
    assert len(read(text)[1]) == 3_000
    assert len(single) < 50
