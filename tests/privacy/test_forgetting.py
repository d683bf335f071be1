"""A forgotten viewer or channel is nowhere, stays out, and nothing else has changed: byte for byte."""

import contextlib
import gzip
import hashlib
import io
import json
import multiprocessing
import os
import shutil
from dataclasses import replace

import boto3
import polars as pl
import pytest

from collector_service.contract import decode_lines, encode_object, live_key, vod_key
from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OPT_OUTS_KEY, BadOptOutsError, OptOuts, read_opt_outs
from tests.worlds import full_lake as world
from tests.worlds.full_lake import CHANNEL, DAYS, KEY, KEY_IN_ANY_FORM, NOW, VIEWER, VOD, WITH_RAW
from vieweratlas_dagster.automation.late_plan import GRAPH_ONLY, Plan, scan
from vieweratlas_dagster.commands import doctor
from vieweratlas_dagster.forgetting import ledger
from vieweratlas_dagster.forgetting.erase import Forgetting
from vieweratlas_dagster.forgetting.lock import TURN_KEY
from vieweratlas_dagster.forgetting.rewriting import UnreadableObjectError
from vieweratlas_dagster.forgetting.s3_versions import Versions
from vieweratlas_dagster.forgetting.subject import Subject, SubjectError, find_channel, find_viewer
from vieweratlas_dagster.lake.keys import LATEST_PREFIX, SPARK_PREFIX, analysis_key, manifest_key
from vieweratlas_dagster.lake.manifests import day_manifest, finish_map, publish_latest
from vieweratlas_dagster.lake.parquet import parquet_bytes
from vieweratlas_dagster.lake.redaction import without
from vieweratlas_dagster.maps import drawing
from vieweratlas_dagster.maps.stored import ShownMap
from vieweratlas_dagster.tables import NODES
from vieweratlas_dagster.vod.queue_store import QueueStore


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """The folder of a planted lake, which tests copy."""
    folder = tmp_path_factory.mktemp("planted")
    settings = world.settings_for(folder)
    world.plant(Lake.open(settings.storage), settings)
    return folder / "lake"


@pytest.fixture
def settings(planted, tmp_path):
    shutil.copytree(planted, tmp_path / "lake")
    return world.settings_for(tmp_path)


@pytest.fixture
def lake(settings):
    return Lake.open(settings.storage)


def forget(lake, settings, subject, versions=None):
    return Forgetting(lake, settings, versions, NOW).run(subject)


def table(data):
    return pl.read_parquet(io.BytesIO(data))


def test_a_forgotten_viewer_is_in_no_byte_of_the_lake(lake, settings):
    before = world.holding(world.everything(lake), *KEY_IN_ANY_FORM)
    # The test would see it: raw (2 days, 3 objects), curated (3 days, 3 tables), quarantine (copy, notes),
    # and what a Spark run left.
    assert len(before) == 6 + 9 + 2 + 1
    report = forget(lake, settings, VIEWER)
    after = world.everything(lake)
    assert world.holding(after, *KEY_IN_ANY_FORM) == {OPT_OUTS_KEY}
    assert read_opt_outs(lake) == VIEWER.opt_outs
    assert (report.newly_opted_out, report.days) == (True, DAYS)
    # Nor the beginning of it, where a note on a refused line was cut off.
    assert not world.holding(after, str(KEY)[:9].encode()) - {OPT_OUTS_KEY}


def test_everybody_else_stays_row_for_row(lake, settings):
    before = world.everything(lake)
    held = world.holding(before, *KEY_IN_ANY_FORM)
    forget(lake, settings, VIEWER)
    after = world.everything(lake)
    own = {key for key in after if key.startswith(("state/forgotten/", OPT_OUTS_KEY))}
    spark = {key for key in before if key.startswith(f"{SPARK_PREFIX}date={DAYS[0]}/")}
    assert len(spark) == 2
    assert after.keys() - before.keys() == own
    assert before.keys() - spark == after.keys() - own
    channels = {key for key in before if key.startswith("curated/channels/")}
    for key in before.keys() - held - channels - spark:
        assert after[key] == before[key], key
    for key in held - spark:
        if key.endswith(".parquet"):
            rows = table(before[key])
            assert table(after[key]).equals(rows.filter(pl.col("viewer_key") != KEY)), key
        elif key.startswith("raw/"):
            assert lines(after[key]) == [_without_viewer(row) for row in lines(before[key])], key
    for day in DAYS:
        key = f"curated/channels/date={day}/channels.parquet"
        # Eight known viewers less the bot, less the forgotten one; channels without them are as they were.
        gone = pl.when(pl.col("channel_id") != 9000013).then(1).otherwise(0).cast(pl.UInt32)
        assert table(after[key]).equals(table(before[key]).with_columns(pl.col("viewers") - gone))


def lines(data):
    return [json.loads(line) for line in decode_lines(data)]


def _without_viewer(row):
    keys, counts = row["chatters"]["viewer_key"], row["chatters"]["messages"]
    if str(KEY) not in keys:
        return row
    at = keys.index(str(KEY))
    row["messages"] -= counts[at]
    row["chatters"] = {"viewer_key": keys[:at] + keys[at + 1 :], "messages": counts[:at] + counts[at + 1 :]}
    return row


def test_forgetting_again_writes_nothing(lake, settings):
    first = forget(lake, settings, VIEWER)
    before = world.everything(lake)
    idle = world.MortalLake.of(settings.storage.dir, 10**9)
    again = forget(idle, settings, VIEWER)
    assert idle.writes_left == 10**9
    assert (again.counts, again.days, again.newly_opted_out) == ({}, (), False)
    assert world.everything(lake) == before
    assert first.counts


@pytest.mark.parametrize("subject", [VIEWER, CHANNEL], ids=["viewer", "channel"])
def test_a_dry_run_counts_the_same_and_writes_nothing(lake, settings, subject):
    before = world.everything(lake)
    idle = world.MortalLake.of(settings.storage.dir, 10**9)
    seen = Forgetting(idle, settings, None, NOW).look(subject)
    assert idle.writes_left == 10**9
    assert world.everything(lake) == before
    done = forget(lake, settings, subject)
    assert (seen.counts, seen.days) == (done.counts, done.days)
    assert seen.counts["presences" if subject is VIEWER else "lines"] > 0


def test_a_hidden_channel_is_in_no_byte_of_the_lake(lake, settings):
    needles = (b"beta_two", b"9000012", (9000012).to_bytes(8, "little"), f"vod={VOD}".encode())
    before = world.everything(lake)
    assert len(world.holding(before, *needles)) > 40
    report = forget(lake, settings, CHANNEL)
    after = world.everything(lake)
    # The manifest of a day whose raw data have expired lists a VOD by its number; nobody can tell whose.
    left = {OPT_OUTS_KEY, manifest_key(DAYS[0])}
    assert world.holding(after, *needles) == left
    assert not world.holding(after, b"beta_two", b"9000012") - {OPT_OUTS_KEY}
    assert report.mentions == ()
    for key in [
        key for key in before if key.startswith(("curated/presence", "curated/channels", "curated/aud"))
    ]:
        assert table(after[key]).equals(table(before[key]).filter(pl.col("channel_id") != 9000012)), key
    for day in WITH_RAW:
        listed = day_manifest(day).parse(after[manifest_key(day)], day).objects
        assert vod_key(day, VOD) not in {entry.key for entry in listed}
    assert list(QueueStore(lake).load()) == ["700901"]
    assert "quarantine/vod_queue/4567.json" in after


def test_a_hidden_channel_leaves_published_atlases_at_once(lake, settings):
    pictures = {day: lake.get(analysis_key(day, "atlas.png")) for day in DAYS}
    forget(lake, settings, CHANNEL)
    for day in DAYS:
        page = world.unpacked("atlas.html", lake.get(analysis_key(day, "atlas.html")))
        assert b"alpha_one" in page
        assert b"beta_two" not in page
        assert lake.get(analysis_key(day, "atlas.png")) != pictures[day]
        nodes = table(lake.get(analysis_key(day, "nodes.parquet")))
        assert nodes["channel"].to_list() == ["alpha_one", "gamma_three"]
        assert nodes["label"].to_list() == ["community 1", "community 1"]
        # The difference between a group and those who are left in it would be the channel's audience.
        groups = table(lake.get(analysis_key(day, "communities.parquet")))
        assert groups.select("level", "id", "size", "viewers", "confidence").rows() == [
            ("community", 1, 2, nodes["viewers"].sum(), 0.5),
            ("region", 1, 2, nodes["viewers"].sum(), None),
        ]
        csv = pl.read_csv(lake.get(analysis_key(day, "communities.csv")))
        assert csv.select("size", "viewers").equals(groups.select("size", "viewers"))
        manifest = json.loads(lake.get(analysis_key(day, "manifest.json")))
        assert manifest["complete"]
        assert manifest["channels"] == 2
        for name, digest in manifest["files"].items():
            assert hashlib.sha256(lake.get(analysis_key(day, name))).hexdigest() == digest
    newest = {info.key.rsplit("/", 1)[-1]: lake.get(info.key) for info in lake.objects(LATEST_PREFIX)}
    prefix = analysis_key(DAYS[-1], "")
    assert newest == {info.key.removeprefix(prefix): lake.get(info.key) for info in lake.objects(prefix)}


def test_a_page_that_shows_a_hidden_channel_on_an_earlier_day_only_is_drawn_again(lake, settings):
    for day in DAYS[1:]:
        for info in lake.objects(analysis_key(day, "")):
            if info.key.endswith(".parquet"):
                lake.put(info.key, parquet_bytes(without(table(lake.get(info.key)), CHANNEL.opt_outs)))
        shown = ShownMap(lake, day)
        pages = drawing.draw_pages(shown, shown.read("nodes.parquet", NODES), settings)
        for name, data in {**pages.files, **drawing.draw_exports(shown, settings).files}.items():
            lake.put(analysis_key(day, name), data)
        finish_map(lake, day, 2)
    publish_latest(lake, DAYS[-1])
    held = world.holding(world.everything(lake), b"beta_two")
    later = tuple(analysis_key(day, "") for day in DAYS[1:])
    assert {key for key in held if key.startswith((*later, LATEST_PREFIX))} == {
        *(analysis_key(day, "atlas.html") for day in DAYS[1:]),
        f"{LATEST_PREFIX}atlas.html",
    }
    forget(lake, settings, CHANNEL)
    assert world.holding(world.everything(lake), b"beta_two") == {OPT_OUTS_KEY}


def test_what_was_drawn_of_an_unfinished_map_goes_even_if_its_tables_are_newer(lake, settings):
    day = DAYS[2]
    lake.delete(analysis_key(day, "manifest.json"))
    for info in lake.objects(analysis_key(day, "")):
        if info.key.endswith(".parquet"):
            lake.put(info.key, parquet_bytes(without(table(lake.get(info.key)), CHANNEL.opt_outs)))
    assert analysis_key(day, "atlas.html") in world.holding(world.everything(lake), b"beta_two")
    report = forget(lake, settings, CHANNEL)
    assert {info.key.rsplit(".", 1)[-1] for info in lake.objects(analysis_key(day, ""))} == {"parquet"}
    assert world.holding(world.everything(lake), b"beta_two") == {OPT_OUTS_KEY}
    assert report.counts["maps"] == 3
    assert forget(lake, settings, CHANNEL).counts == {}


def test_a_map_that_cannot_be_drawn_again_is_removed_and_named(lake, settings):
    lake.delete(analysis_key(DAYS[0], "events.parquet"))
    report = forget(lake, settings, CHANNEL)
    # Days after it show it as an earlier one only while it is finished.
    assert report.removed_maps == DAYS[:1]
    assert {info.key.rsplit(".", 1)[-1] for info in lake.objects(analysis_key(DAYS[0], ""))} == {"parquet"}
    assert b"alpha_one" in lake.get(analysis_key(DAYS[1], "atlas.html"))


def test_a_fault_of_drawing_is_told_and_the_map_is_drawn_by_the_next_run(lake, settings, monkeypatch):
    def broken(*_, **__):
        raise ValueError("no such font")

    drawn = drawing.draw_atlas
    monkeypatch.setattr(drawing, "draw_atlas", broken)
    with pytest.raises(ValueError, match="no such font"):
        forget(lake, settings, CHANNEL)
    monkeypatch.setattr(drawing, "draw_atlas", drawn)
    assert forget(lake, settings, CHANNEL).removed_maps == ()
    assert world.holding(world.everything(lake), b"beta_two") == {OPT_OUTS_KEY}
    assert len(list(lake.objects(LATEST_PREFIX))) > 10


def test_a_map_drawn_again_counts_the_channels_that_are_shown(lake, settings):
    for day in DAYS:
        key = analysis_key(day, "nodes.parquet")
        viewers = pl.when(pl.col("channel") == "alpha_one").then(20).otherwise("viewers")
        nodes = table(lake.get(key))
        lake.put(key, parquet_bytes(nodes.with_columns(viewers=viewers.cast(nodes.schema["viewers"]))))
    # The others have 7, so the floor takes them off the page.
    settings = settings.model_copy(
        update={"privacy": settings.privacy.model_copy(update={"min_shared_published": 8})}
    )
    forget(lake, settings, CHANNEL)
    assert {json.loads(lake.get(analysis_key(day, "manifest.json")))["channels"] for day in DAYS} == {1}


def test_a_hidden_channel_may_have_been_all_of_its_region(lake, settings):
    day = DAYS[0]
    for name, column in (("nodes", "region"), ("partition", "region"), ("communities", "id")):
        key = analysis_key(day, f"{name}.parquet")
        frame = table(lake.get(key))
        if name == "communities":
            more = frame.filter(pl.col("level") == "region").with_columns(id=pl.lit(2, frame.schema["id"]))
            lake.put(key, parquet_bytes(pl.concat([frame, more])))
        else:
            its = pl.when(pl.col("channel") == "beta_two").then(2).otherwise(column)
            lake.put(key, parquet_bytes(frame.with_columns(its.cast(frame.schema[column]).alias(column))))
    assert forget(lake, settings, CHANNEL).removed_maps == ()
    assert b"alpha_one" in lake.get(analysis_key(day, "atlas.html"))


def comparable(lake):
    """All bytes; the ledger's entries under their order instead of their random number."""
    found = world.everything(lake)
    for number, key in enumerate(sorted(key for key in found if key.startswith(ledger.LEDGER_PREFIX))):
        found[f"ledger {number}"] = found.pop(key)
    return found


@pytest.mark.parametrize(
    ("subject", "step"),
    [
        pytest.param(VIEWER, 1, id="viewer"),
        pytest.param(CHANNEL, 4, id="channel"),
        pytest.param(CHANNEL, 1, id="channel at every write", marks=pytest.mark.long),
    ],
)
def test_a_run_that_is_killed_at_any_write_is_finished_by_the_next_one(
    planted, tmp_path, monkeypatch, subject, step
):
    for name in ("draw_atlas", "draw_preview", "draw_svg", "render_page"):
        monkeypatch.setattr(drawing, name, getattr(drawing, name))
    world.draw_cheaply()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.worlds.full_lake"])
    settings = world.settings_for(tmp_path)
    folder, lake = tmp_path / "lake", None

    def fresh():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(planted, folder)
        # A day with raw data and one without, a map that is finished and one that is not, show what there
        # is to show.
        for path in folder.rglob(f"date={DAYS[2]}"):
            shutil.rmtree(path)
        (folder / analysis_key(DAYS[1], "manifest.json")).unlink()
        for name in ("audiences", "edges", "partition", "left_out", "events"):
            (folder / analysis_key(DAYS[1], f"{name}.parquet")).unlink()
        return Lake.open(settings.storage)

    lake = fresh()
    forget(lake, settings, subject)
    expected = comparable(lake)
    killed = 0
    while True:
        lake = fresh()
        child = context.Process(target=world.forget_until_killed, args=(str(folder), subject, killed, True))
        child.start()
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -9
        forget(lake, settings, subject)
        assert comparable(lake) == expected, killed
        assert ledger.unfinished_jobs(lake) == []
        killed += step
    assert comparable(lake) == expected
    assert killed > 20


def test_what_was_begun_can_be_taken_up_without_saying_who(lake, settings):
    context = multiprocessing.get_context("forkserver")
    args = (str(settings.storage.dir), VIEWER, 9, True)
    child = context.Process(target=world.forget_until_killed, args=args)
    child.start()
    child.join()
    assert [job.subject for job in ledger.unfinished_jobs(lake)] == [VIEWER]
    with pytest.raises(RuntimeError, match=r"1 unfinished since .* vieweratlas forget --resume"):
        doctor._forgetting(settings)
    [report] = Forgetting(lake, settings, None, NOW).resume()
    assert report.days == DAYS
    assert world.holding(world.everything(lake), *KEY_IN_ANY_FORM) == {OPT_OUTS_KEY}
    assert doctor._forgetting(settings) == "1 in the ledger, all finished"


def test_a_damaged_entry_of_its_own_does_not_stop_a_job_that_is_resumed(lake, settings):
    ledger.keep_job(lake, ledger.new_job(VIEWER, NOW))
    [job] = ledger.unfinished_jobs(lake)
    ledger.write_entry(lake, job, "begun")
    [entry] = ledger.entries(lake)
    lake.put(entry.key, b"{")
    [report] = Forgetting(lake, settings, None, NOW).resume()
    assert report.days == DAYS
    assert ledger.unfinished_jobs(lake) == []
    [finished] = ledger.entries(lake)
    assert (finished.key, finished.is_done) == (entry.key, True)


@pytest.mark.parametrize("files", [ledger.JOB_FILES, ledger.ENTRY_FILES], ids=["job", "entry"])
def test_a_different_version_of_the_ledger_is_refused(lake, files):
    job = ledger.new_job(VIEWER, NOW)
    ledger.keep_job(lake, job)
    ledger.write_entry(lake, job, "begun")
    state = files.at(f"{files.key}{job.number}.json")
    lake.put(state.key, lake.get(state.key).replace(b'"schema_version": 1', b'"schema_version": 2'))
    with pytest.raises(ledger.LedgerError, match="schema_version: 2 is not the version 1"):
        state.read(lake)


def test_the_ledger_identifies_nobody(lake, settings):
    forget(lake, settings, VIEWER)
    [entry] = ledger.entries(lake)
    body = json.loads(lake.get(entry.key))
    assert body.keys() == {"schema_version", "kind", "begun", "progress", "counts", "days_to_make_again"}
    assert (body["kind"], body["begun"], body["progress"]) == ("viewer", "2026-03-04T03:00:00Z", "done")
    assert body["days_to_make_again"] == list(DAYS)
    assert all(isinstance(count, int) and count < 10**6 for count in body["counts"].values())
    # Nothing depends on who it was: another viewer with the same presence leaves the same entry.
    text = lake.get(entry.key).decode() + entry.key
    for of in (b"7007", str(KEY).encode(), b"twitch:7007", KEY.to_bytes(8, "big")):
        for name in ("md5", "sha1", "sha256", "blake2b"):
            assert hashlib.new(name, of).hexdigest()[:12] not in text
    assert str(KEY) not in text


def test_days_whose_raw_data_are_there_or_gone_are_made_again(lake, settings):
    forget(lake, settings, CHANNEL)
    found = scan(lake, first=NOW.date().replace(day=1), today=NOW.date())
    # Rewritten objects are newer than the manifest, and nothing counts as missing: whole days are made.
    assert [(late.day, late.removed) for late in found.late] == [(day, 0) for day in WITH_RAW]
    plan = Plan().add(found.late, found.made, window_days=2, first_day="2020-01-01")
    plan = plan.add_forgotten(ledger.entries(lake), found.made, window_days=2)
    assert [(step.day, step.job) for step in plan.waiting] == [
        ("2026-03-01", GRAPH_ONLY),
        ("2026-03-02", "analysis_daily"),
        ("2026-03-03", "analysis_daily"),
    ]
    assert plan.add_forgotten(ledger.entries(lake), found.made, window_days=2) == plan
    assert ledger.entries(lake, but=plan.settled) == []


def test_a_list_of_opt_outs_that_vanished_is_not_begun_anew(lake, settings):
    forget(lake, settings, VIEWER)
    lake.delete(OPT_OUTS_KEY)
    with pytest.raises(BadOptOutsError, match="would end all earlier opt-outs"):
        forget(lake, settings, CHANNEL)
    assert not lake.exists(OPT_OUTS_KEY)
    lake.put(OPT_OUTS_KEY, b"{")
    with pytest.raises(BadOptOutsError, match="Invalid JSON"):
        forget(lake, settings, CHANNEL)
    assert lake.get(OPT_OUTS_KEY) == b"{"


def test_a_table_that_nobody_can_read_stops_it_with_an_advice(lake, settings):
    lake.put(f"curated/audiences/date={DAYS[0]}/audience.parquet", b"PAR1 no")
    with pytest.raises(UnreadableObjectError, match="make its day again, or remove it"):
        forget(lake, settings, VIEWER)


def test_the_end_of_an_object_that_nobody_can_read_is_cut_off(lake, settings):
    key = live_key(NOW.replace(day=2, hour=20), "c1")
    whole = lake.get(key)
    lake.put(key, whole[:-20])
    report = forget(lake, settings, VIEWER)
    assert report.counts["unreadable_ends"] == 2  # this one, and the planted one in quarantine
    assert gzip.decompress(lake.get(key))


def test_where_nobody_opted_out_tables_are_not_copied():
    frame = pl.DataFrame(
        {"viewer_key": [KEY], "channel": ["beta_two"]}, schema_overrides={"viewer_key": pl.UInt64}
    )
    assert without(frame, OptOuts()) is frame
    assert without(frame, VIEWER.opt_outs).height == 0


def test_a_viewers_login_needs_credentials_or_the_number(lake):
    with pytest.raises(SubjectError, match="give the numeric user id"):
        find_viewer("Some_Body", world.SECRET, None)
    assert find_viewer("7007", world.SECRET, None) == VIEWER

    class User:
        id, login = 7007, "some_body"

    found = find_viewer("Some_Body", world.SECRET, lambda **_: User)
    assert found.opt_outs.viewer_keys > VIEWER.opt_outs.viewer_keys
    with pytest.raises(SubjectError, match="has no account 'some_body' now"):
        find_viewer("some_body", world.SECRET, lambda **_: None)
    with pytest.raises(SubjectError, match="neither a login"):
        find_viewer("what is this", world.SECRET, None)


@pytest.mark.parametrize("given", ["beta_two", "@Beta_Two", "9000012"])
def test_a_channel_is_found_by_login_and_by_id(lake, given):
    found = find_channel(given, lake, None).opt_outs
    assert found.channels == {"beta_two"}
    assert 9000012 in found.channel_ids
    assert len(found.channel_ids) == 2  # and the one that imports without ids give it


@pytest.fixture
def versioned(s3_storage):
    client = boto3.client("s3", endpoint_url=s3_storage.endpoint_url, region_name="us-east-1")
    client.put_bucket_versioning(Bucket=s3_storage.s3_bucket, VersioningConfiguration={"Status": "Enabled"})
    return s3_storage, client


def test_on_s3_nothing_is_left_in_old_versions_or_delete_markers(versioned, tmp_path):
    storage, client = versioned
    settings = world.settings_for(tmp_path, storage)
    lake = Lake.open(storage)
    world.plant(lake, settings, maps=False)
    key = vod_key(WITH_RAW[0], VOD)
    other = live_key(NOW.replace(day=2, hour=20), "c2")
    # An object with more versions than one page or one request holds, and one that has expired.
    small = lake.get(key)
    lake.put(other, small)
    lake.delete(other)
    forgetting = Forgetting(lake, settings, Versions(storage), NOW)
    seen = forgetting.look(VIEWER)
    assert seen.counts["old_versions"] == 1
    for _ in range(1003):
        client.put_object(Bucket=storage.s3_bucket, Key=f"{storage.s3_prefix}{key}", Body=small)
    assert len(_versions(client, storage)[f"{storage.s3_prefix}{key}"]) == 1004
    report = forgetting.run(VIEWER)
    # Those, the one in the lake now, the one that expired, and the objects that were rewritten on the way.
    assert report.counts["old_versions"] == 1003 + 1 + 1 + (6 - 1) + 9 + 2 + 2
    assert report.counts["delete_markers"] == 1 + 2
    assert world.holding(world.everything(lake), *KEY_IN_ANY_FORM) == {OPT_OUTS_KEY}
    # Whose turn it was is a random text.
    left = {name: ids for name, ids in _versions(client, storage).items() if not name.endswith(TURN_KEY)}
    held = set()
    for name, versions in left.items():
        for version in versions:
            body = client.get_object(Bucket=storage.s3_bucket, Key=name, VersionId=version)["Body"].read()
            held |= world.holding({name: body}, *KEY_IN_ANY_FORM)
    assert held == {f"{storage.s3_prefix}{OPT_OUTS_KEY}"}
    # Of what has expired not even the delete marker; of the job nothing; all else has what it had.
    assert f"{storage.s3_prefix}{other}" not in left
    assert not [name for name in left if "state/forgetting/" in name]
    assert report.counts["presences"] == seen.counts["presences"]
    again = forgetting.run(VIEWER)
    assert again.counts == {}


def _versions(client, storage):
    found = {}
    for page in client.get_paginator("list_object_versions").paginate(Bucket=storage.s3_bucket):
        for kind in ("Versions", "DeleteMarkers"):
            for one in page.get(kind, []):
                found.setdefault(one["Key"], []).append(one["VersionId"])
    return found


def test_more_that_is_known_of_a_channel_later_joins_its_unfinished_job(lake, settings):
    job = ledger.new_job(CHANNEL, NOW)
    ledger.keep_job(lake, job)
    more = Subject("channel", CHANNEL.opt_outs | OptOuts(channels=frozenset({"beta_too"})))
    forget(lake, settings, more)
    assert ledger.unfinished_jobs(lake) == []
    assert [entry.number for entry in ledger.entries(lake)] == [job.number]
    assert read_opt_outs(lake).channels == {"beta_two", "beta_too"}
    assert replace(job, subject=more).key == job.key


def test_what_a_killed_writer_left_where_no_listing_shows_it_goes_too(lake, settings):
    folder = settings.storage.dir / "raw/snapshots/date=2026-03-02/hour=20"
    old, young, other = (folder / name for name in ("x.ndjson.gz#1", "y.ndjson.gz#12", "not#one.gz"))
    for path in (old, young, other):
        path.write_bytes(str(KEY).encode())
    for path in (old, other):
        os.utime(path, (0, 0))
    assert not [info for info in lake.objects("raw/") if info.key.endswith("#1")]
    forget(lake, settings, VIEWER)
    # What was written just now may be on its way to its name.
    assert (old.exists(), young.exists()) == (False, True)


def test_on_s3_a_run_that_ends_among_old_versions_is_finished_by_the_next_one(
    versioned, tmp_path, monkeypatch
):
    storage, client = versioned
    settings = world.settings_for(tmp_path, storage)
    lake = Lake.open(storage)
    lake.put(live_key(NOW.replace(day=2, hour=20), "c1"), encode_object(world.records_of(DAYS[1], 20)))
    delete = Versions._delete
    ends_at = {"call": 0}

    def mortal(self, found):
        ends_at["call"] -= 1
        if ends_at["call"] < 0:
            raise KeyboardInterrupt
        delete(self, found)

    monkeypatch.setattr(Versions, "_delete", mortal)
    with pytest.raises(KeyboardInterrupt):
        Forgetting(lake, settings, Versions(storage), NOW).run(VIEWER)
    ended = 1
    # Before the next deletion each time; as long as anything tells who it was, it can be resumed.
    while ledger.unfinished_jobs(lake):
        ends_at["call"] = ended
        with contextlib.suppress(KeyboardInterrupt):
            Forgetting(lake, settings, Versions(storage), NOW).resume()
        told = any("state/forgetting/" in name for name in _versions(client, storage))
        assert told == bool(ledger.unfinished_jobs(lake))
        ended += 1
    assert ended > 2
    left = _versions(client, storage)
    assert not any("state/forgetting/" in name for name in left)
    assert len(left[f"{storage.s3_prefix}{live_key(NOW.replace(day=2, hour=20), 'c1')}"]) == 1
    ends_at["call"] = 10**9
    assert Forgetting(lake, settings, Versions(storage), NOW).run(VIEWER).counts == {}
