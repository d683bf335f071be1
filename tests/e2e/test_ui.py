"""The Dagster UI on what the demo made, in a real browser."""

import json
import re
import time
from datetime import date, timedelta

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.chromium import CHROMIUM_ARGUMENTS, chromium_path
from tests.conftest import ARTIFACTS
from tests.e2e.ui import ask, running_ui
from tests.security.planted import command_lines, shown

ASSETS = {
    *("live_chat", "vod_chat", "snapshots", "presence_snapshots", "channels", "day_audiences"),
    *("overlap_graph", "community_partitions", "community_labels", "atlas", "graph_exports"),
}


@pytest.fixture(scope="module")
def ui(finished_demo):
    with running_ui(finished_demo.folder) as url:
        yield url


def test_all_assets_are_materialized_and_all_checks_passed(ui):
    nodes = ask(
        ui,
        """{ assetNodes { assetKey { path } groupName description
             assetMaterializations(limit: 1) { runId }
             assetChecksOrError { ... on AssetChecks { checks { name jobNames
               executionForLatestMaterialization { status } } } } } }""",
    )["assetNodes"]
    by_name = {node["assetKey"]["path"][0]: node for node in nodes}
    assert set(by_name) == ASSETS
    assert {name for name, node in by_name.items() if node["assetMaterializations"]} == ASSETS
    # The daily job evaluates all checks but those of the freshness job.
    results = {
        check["name"]: (check["executionForLatestMaterialization"] or {}).get("status")
        for node in nodes
        for check in node["assetChecksOrError"]["checks"]
        if "analysis_daily" in check["jobNames"]
    }
    assert results == dict.fromkeys(results, "SUCCEEDED")
    assert len(results) >= 8


def test_schedules_are_running(ui):
    schedules = ask(
        ui,
        """{ schedulesOrError(repositorySelector: {repositoryName: "__repository__",
             repositoryLocationName: "vieweratlas"}) { ... on Schedules { results {
             name cronSchedule scheduleState { status } } } } }""",
    )["schedulesOrError"]["results"]
    assert {(schedule["name"], schedule["scheduleState"]["status"]) for schedule in schedules} == {
        ("vieweratlas_analysis_daily", "RUNNING"),
        ("vieweratlas_vod_6h", "RUNNING"),
        ("vieweratlas_freshness", "RUNNING"),
        ("vieweratlas_maintenance", "RUNNING"),
    }


def quarters_of(demo):
    """The 6-hour partition keys of the demo's days, in order."""
    last = max(
        path.name.removeprefix("date=") for path in (demo.folder / "lake/curated/channels").iterdir()
    )
    days = [date.fromisoformat(last) - timedelta(days=back) for back in range(demo.report["days"])]
    return [f"{day}-{hour:02d}:00" for day in sorted(days) for hour in (0, 6, 12, 18)]


def test_vod_chat_has_its_quarters_and_tells_the_queues_health(ui, finished_demo):
    made = ask(
        ui,
        """{ assetNodeOrError(assetKey: {path: ["vod_chat"]}) { ... on AssetNode {
             assetMaterializations(limit: 100) { partition metadataEntries { label
               ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue } } } } } }""",
    )["assetNodeOrError"]["assetMaterializations"]
    told = {
        one["partition"]: {
            entry["label"]: entry.get("intValue", entry.get("floatValue"))
            for entry in one["metadataEntries"]
        }
        for one in made
        if any(entry["label"] == "queue_done" for entry in one["metadataEntries"])
    }
    quarters = quarters_of(finished_demo)
    days = {quarter[:10] for quarter in quarters}
    # The schedule is running: it makes a quarter of today that ends during the tests.
    assert {one["partition"] for one in made if one["partition"][:10] in days} == set(quarters)
    queue = json.loads((finished_demo.folder / "lake/state/vod/queue.json").read_text())["items"]
    health = told[quarters[-1]]
    assert health["queue_done"] == len(queue) > 50
    assert health["queue_waiting"] == health["queue_dead"] == health["queue_leased"] == 0
    assert health["oldest_pending_age_hours"] == 0
    # In the quarter of the outage nobody can tell who was live, so every known channel is asked.
    outage = told[quarters[4]]
    assert outage["discovery_asked_channels"] == outage["discovery_channels"] > 50
    assert outage["comments"] > 1000


def test_a_run_of_the_demo_can_be_executed_again(ui):
    runs = """{ runsOrError(filter: {pipelineName: "vod_6h"}) { ... on Runs { results {
             runId parentRunId status } } } }"""
    first = ask(ui, runs)["runsOrError"]["results"][-1]
    launched = ask(
        ui,
        f"""mutation {{ launchRunReexecution(reexecutionParams: {{
             parentRunId: "{first["runId"]}", strategy: ALL_STEPS}}) {{
             __typename ... on PythonError {{ message }} }} }}""",
    )["launchRunReexecution"]
    assert launched == {"__typename": "LaunchRunSuccess"}
    for _ in range(120):
        again = [run for run in ask(ui, runs)["runsOrError"]["results"] if run["parentRunId"]]
        if again and again[0]["status"] in ("SUCCESS", "FAILURE"):
            break
        time.sleep(1)
    assert [(run["parentRunId"], run["status"]) for run in again] == [(first["runId"], "SUCCESS")]


def test_no_secret_of_the_environment_is_on_a_command_line_or_in_the_log(ui, finished_demo):
    programs = b"\n".join(command_lines())
    # The webserver, the daemon, and the code location of this UI.
    port = ui.rpartition(":")[2].encode()
    for name in (b"dagster_webserver", b"dagster._daemon", b"code-server", port):
        assert name in programs, name
    assert shown(programs) == []
    assert shown((finished_demo.folder / "logs" / "ui.log").read_bytes()) == []


@pytest.mark.browser
def test_the_lineage_shows_every_asset_in_the_browser(ui):
    ARTIFACTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 3600, "height": 1000})
        page.goto(f"{ui}/assets/overlap_graph?view=lineage&lineageScope=neighbors&lineageDepth=6")
        page.wait_for_load_state("networkidle")
        for name in sorted(ASSETS):
            page.get_by_text(name, exact=True).first.wait_for(timeout=60_000)
        page.wait_for_timeout(2000)
        page.screenshot(path=ARTIFACTS / "dagster-lineage.png")
        page.set_viewport_size({"width": 1600, "height": 2000})
        page.goto(f"{ui}/assets/atlas?view=overview")
        page.get_by_text("neighbour_preservation").first.wait_for(timeout=60_000)
        page.get_by_text("[Show Markdown]").first.click()
        preview = page.locator("img[alt^='atlas of']")
        preview.wait_for(timeout=20_000)
        assert preview.evaluate("image => image.naturalWidth") > 200
        page.wait_for_timeout(2000)
        page.screenshot(path=ARTIFACTS / "dagster-atlas-asset.png")
        browser.close()


PAGES = {
    # What must be there to read on each page.
    "/asset-groups": ["raw", "curated", "graph", "communities", "atlas"],
    "/assets/atlas?view=checks": ["atlas_is_complete", "Succeeded", "blocking"],
    "/assets/overlap_graph?view=checks": ["overlap_is_possible", "Succeeded"],
    "/assets/overlap_graph?view=overview": ["shared_viewers", "docs/METHOD.md#overlap", "tier: analysis"],
    "/assets/live_chat?view=overview": ["External Asset", "docs/COLLECTOR.md#what-it-writes"],
    "/automation": ["vieweratlas_analysis_daily", "vieweratlas_alerts", "vieweratlas_late_data"],
    "/runs": ["analysis_daily", "Success"],
    "/jobs": ["analysis_daily", "graph_daily", "maintenance"],
    "/locations/vieweratlas/jobs/maintenance/playground": ["old_runs", "dry_run"],
}


@pytest.mark.browser
def test_the_browser_shows_the_six_hour_partitions_and_the_queue(ui, finished_demo):
    ARTIFACTS.mkdir(exist_ok=True)
    quarters = quarters_of(finished_demo)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1600, "height": 2000})
        page.goto(f"{ui}/assets/vod_chat?view=partitions&partition={quarters[-1]}")
        # One more when a quarter ends during the tests: the schedule is running.
        count = re.compile(rf"^Materialized \(({len(quarters)}|{len(quarters) + 1})\)$")
        for text in (*quarters, "queue_waiting", "queue_done"):
            page.get_by_text(text, exact=True).filter(visible=True).first.wait_for(timeout=60_000)
        page.get_by_text(count).filter(visible=True).first.wait_for(timeout=60_000)
        page.get_by_text("oldest_pending_age_hours").first.wait_for(timeout=60_000)
        page.screenshot(path=ARTIFACTS / "dagster-vod-chat.png")
        browser.close()


@pytest.mark.browser
def test_the_desk_shows_what_operators_need_and_no_errors(ui):
    ARTIFACTS.mkdir(exist_ok=True)
    wrong = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1800, "height": 2400})
        page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
        page.on("response", lambda answer: wrong.append(answer.url) if answer.status >= 400 else None)
        for path, texts in PAGES.items():
            page.goto(f"{ui}{path}")
            for text in texts:
                page.get_by_text(text).filter(visible=True).first.wait_for(timeout=60_000)
            assert not [toast.inner_text() for toast in page.locator("[data-sonner-toast]").all()]
            assert page.get_by_text("unexpected error").count() == 0, path
            page.screenshot(path=ARTIFACTS / f"dagster{re.sub('[^a-z]+', '-', path)}.png")
        browser.close()
    assert wrong == []
