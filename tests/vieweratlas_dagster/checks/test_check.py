"""What all checks have in common: names, texts, severities, blocking, and that each one answers."""

import json
from pathlib import Path

import dagster as dg
import pytest

from collector_service.lake import Lake
from collector_service.settings import SettingsError
from tests.worlds.checked_day import DAY, limits, result, verdict
from vieweratlas_dagster.checks import contracts, days, freshness, maps
from vieweratlas_dagster.checks.all_checks import ALL_CHECKS
from vieweratlas_dagster.checks.check import definitions_of
from vieweratlas_dagster.commands.run_jobs import run_partition
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.lake.keys import analysis_key, manifest_key
from vieweratlas_dagster.resources.partitions import daily
from vieweratlas_dagster.settings import SEVERITIES, Settings

OF_A_DAY = [one for one in ALL_CHECKS if one.of_a_day]


def name(check):
    return check.name


def specs(settings):
    return {
        spec.name: spec
        for definition in definitions_of(ALL_CHECKS, settings.checks, daily)
        for spec in definition.check_specs
    }


@pytest.mark.parametrize("check", OF_A_DAY, ids=name)
def test_a_good_day_passes(check, resource, made):
    evaluation = result(check, resource)
    assert evaluation.passed, evaluation.description
    assert evaluation.severity.value == SEVERITIES[check.name]


def test_every_check_has_a_severity_a_text_and_a_section_of_the_runbook():
    assert sorted(one.name for one in ALL_CHECKS) == sorted(SEVERITIES)
    headings = Path("docs/RUNBOOK.md").read_text().splitlines()
    for found in specs(Settings()).values():
        assert 25 < len(found.description) < 200
        assert f"## {found.name}" in headings


def test_the_code_location_holds_all_checks_and_one_step_an_asset():
    repository = build_definitions(Settings()).get_repository_def()
    assert {key.name for key in repository.asset_graph.asset_check_keys} == set(SEVERITIES)
    daily = build_definitions(Settings()).resolve_job_def("analysis_daily")
    assert sorted(node.name for node in daily.graph.nodes if "checks" in node.name) == sorted(
        {f"checks_of_{one.asset}" for one in OF_A_DAY}
    )
    present = build_definitions(Settings()).resolve_job_def("freshness")
    assert {key.name for key in present.asset_layer.asset_graph.asset_check_keys} == {
        one.name for one in freshness.CHECKS
    }
    assert present.tags == {"ecs/cpu": "256", "ecs/memory": "1024"}
    rounds = build_definitions(Settings()).resolve_job_def("vod_6h")
    assert [node.name for node in rounds.graph.nodes] == ["vod_chat"]


def test_blocking_are_the_errors_about_a_day_and_nothing_else():
    errors = {found for found, severity in SEVERITIES.items() if severity == "ERROR"}
    assert {found for found, spec in specs(Settings()).items() if spec.blocking} == errors
    turned = {found: "WARN" if severity == "ERROR" else "ERROR" for found, severity in SEVERITIES.items()}
    of_a_day = {one.name for one in OF_A_DAY}
    settings = Settings(checks={"severities": turned})
    assert {found for found, spec in specs(settings).items() if spec.blocking} == of_a_day - errors


# These two have nothing to compare with in an empty lake, which is no fault.
@pytest.mark.parametrize(
    "check",
    [one for one in OF_A_DAY if one not in (days.volume_is_usual, maps.communities_are_stable)],
    ids=name,
)
def test_a_check_that_cannot_be_judged_has_not_passed(check, resource):
    resource.lake.put(manifest_key(DAY), b"not json")
    evaluation = result(check, resource)
    assert verdict(evaluation) == (False, SEVERITIES[check.name])
    assert evaluation.description.startswith("could not be judged: ") or "missing" in evaluation.description
    assert evaluation.blocking == (SEVERITIES[check.name] == "ERROR")


def test_a_check_of_a_day_without_a_day_says_what_to_do(resource):
    definitions = dg.Definitions(
        assets=[dg.AssetSpec("atlas", partitions_def=daily)],
        asset_checks=definitions_of([maps.atlas_is_complete], limits().checks, daily),
        resources={"lake": resource, "settings": limits()},
        jobs=[dg.define_asset_job("one", selection=dg.AssetSelection.all_asset_checks())],
    )
    with pytest.raises(dg.Failure, match="materialize atlas for the day again"):
        definitions.resolve_job_def("one").execute_in_process()


@pytest.mark.parametrize("severity", ["WARN", "ERROR"])
@pytest.mark.parametrize(
    "check", [maps.communities_have_names, contracts.communities_follow_contract], ids=name
)
def test_an_error_stops_what_depends_on_the_asset_and_a_warning_does_not(check, severity, resource):
    """Neither has a table to look at: from its severity alone follows what becomes of the run."""

    @dg.asset(name=check.asset, partitions_def=daily)
    def checked() -> None:
        pass

    @dg.asset(deps=[checked], partitions_def=daily)
    def published() -> None:
        pass

    settings = limits(severities={check.name: severity})
    with dg.instance_for_test() as instance:
        done = dg.materialize(
            [checked, published, *definitions_of([check], settings.checks, daily)],
            instance=instance,
            resources={"lake": resource, "settings": settings},
            partition_key=DAY,
            raise_on_error=False,
        )
    made = [event.asset_key.to_user_string() for event in done.get_asset_materialization_events()]
    assert verdict(done.get_asset_check_evaluations()[0]) == (False, severity)
    assert (done.success, made) == (
        (True, [check.asset, "published"]) if severity == "WARN" else (False, [check.asset])
    )


@pytest.mark.slow
@pytest.mark.parametrize("severity", ["WARN", "ERROR"])
def test_what_stops_the_daily_job_is_a_setting(severity, tmp_path):
    settings = Settings(
        storage={"dir": tmp_path / "lake"}, checks={"severities": {"day_has_data": severity}}
    )
    with dg.instance_for_test() as instance:
        outcome = run_partition(build_definitions(settings), "analysis_daily", DAY, instance)
    assert f"snapshots: no usable record on {DAY}" in outcome.failed_checks
    made = Lake.open(settings.storage).objects("curated/")
    assert (outcome.success, bool(made)) == (severity == "WARN", severity == "WARN")


@pytest.mark.slow
def test_every_asset_has_a_freshness_badge_and_says_where_it_is(tmp_path):
    settings = Settings(storage={"dir": tmp_path / "lake"})
    definitions = build_definitions(settings)
    specs = definitions.resolve_all_asset_specs()
    assert len(specs) == 11
    assert [spec.key for spec in specs if spec.freshness_policy is None] == []
    lake = Lake.open(settings.storage)
    with dg.instance_for_test() as instance:
        assert run_partition(definitions, "analysis_daily", DAY, instance).success
        assert run_partition(definitions, "vod_6h", f"{DAY}-18:00", instance).success
        for spec in specs:
            [record] = instance.fetch_materializations(spec.key, limit=1).records
            where = record.asset_materialization.metadata["dagster/uri"].value
            assert where.startswith(f"{lake.uri}/"), spec.key


@pytest.mark.slow
def test_the_history_has_one_row_a_day_and_run_and_knows_the_day(tmp_path):
    definitions = build_definitions(Settings(storage={"dir": tmp_path / "lake"}))
    with dg.instance_for_test() as instance:
        for day in (DAY, DAY, "2026-03-11"):
            assert run_partition(definitions, "analysis_daily", day, instance).success
        for one in OF_A_DAY:
            rows = instance.event_log_storage.get_asset_check_execution_history(
                dg.AssetCheckKey(dg.AssetKey(one.asset), one.name), limit=10
            )
            assert [(row.partition, row.status.value in {"SUCCEEDED", "FAILED"}) for row in rows] == [
                ("2026-03-11", True),
                (DAY, True),
                (DAY, True),
            ], one.name


def test_a_single_check_can_be_run_by_itself(resource, made):
    resource.lake.delete(analysis_key(DAY, "atlas.png"))
    definitions = dg.Definitions(
        assets=[dg.AssetSpec("atlas", partitions_def=daily)],
        asset_checks=definitions_of(maps.CHECKS[-2:], limits().checks, daily),
        resources={"lake": resource, "settings": limits()},
        jobs=[
            dg.define_asset_job(
                "one",
                selection=dg.AssetSelection.checks(
                    dg.AssetCheckKey(dg.AssetKey("atlas"), "nodes_refer_to_communities")
                ),
            )
        ],
    )
    done = definitions.resolve_job_def("one").execute_in_process(tags={"dagster/partition": DAY})
    [evaluation] = done.get_asset_check_evaluations()
    assert (evaluation.check_name, evaluation.passed) == ("nodes_refer_to_communities", True)


@pytest.mark.parametrize(
    ("checks", "text"),
    [
        (
            {"severities": {"no_such_check": "WARN"}},
            "names unknown checks: no_such_check; checks are atlas_is",
        ),
        ({"severities": {"day_has_data": "FATAL"}}, "checks.severities.day_has_data"),
        ({"min_times_usual": 3}, "no day could pass"),
    ],
)
def test_severities_and_thresholds_that_could_not_work_are_refused(tmp_path, checks, text):
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"checks": checks}))
    with pytest.raises(SettingsError, match=text):
        Settings.load(config, environment={})
