"""The checks of a day's input, on days that are well and on days that are not."""

from datetime import timedelta

import pytest

from collector_service.contract import encode_object
from tests.worlds.checked_day import (
    DAY,
    START,
    at,
    numbers,
    put,
    put_curated,
    put_manifest,
    records,
    result,
    verdict,
)
from tests.worlds.records import snapshot
from vieweratlas_dagster.checks import days
from vieweratlas_dagster.lake.keys import channels_key, days_up_to
from vieweratlas_dagster.lake.manifests import write_day_manifest


def test_refused_lines_beyond_the_limit_are_a_warning(resource, made):
    put_manifest(resource.lake, encode_object(records())[:-20])
    evaluation = result(days.quarantine_is_small, resource)
    assert verdict(evaluation) == (False, "WARN")
    assert "bad_gzip" in evaluation.description
    assert (
        numbers(evaluation)["share"] == numbers(evaluation)["rejected"] / numbers(evaluation)["lines"] > 0
    )


def test_no_refused_line_passes(resource, made):
    evaluation = result(days.quarantine_is_small, resource)
    assert evaluation.passed
    assert numbers(evaluation) == {"rejected": 0, "lines": 6, "share": 0.0, "reasons": "[]"}


def test_a_day_without_records_is_a_warning(resource, made):
    evaluation = result(days.day_has_data, resource)
    assert (evaluation.passed, numbers(evaluation)) == (True, {"records": 6, "objects": 1})
    write_day_manifest(resource.lake, DAY, [])
    evaluation = result(days.day_has_data, resource)
    assert verdict(evaluation) == (False, "WARN")
    assert evaluation.description == f"no usable record on {DAY}"
    assert numbers(evaluation) == {"records": 0, "objects": 0}


def test_presence_of_unknown_channels_blocks(resource, made):
    assert result(days.presence_refers_to_channels, resource).passed
    put(resource.lake, channels_key(DAY), made[0].channels.head(4))
    evaluation = result(days.presence_refers_to_channels, resource)
    assert verdict(evaluation) == (False, "ERROR")
    assert evaluation.blocking
    assert evaluation.description == "live: 2 channels are not in the channel dimension"
    assert numbers(evaluation) == {"problems": 1, "channels": 4}


def test_too_little_observed_time_is_a_warning(resource):
    put_curated(resource.lake, DAY, records(observed_seconds=60.0))
    evaluation = result(days.channels_were_observed, resource)
    assert verdict(evaluation) == (False, "WARN")
    assert numbers(evaluation)["observed_share"] == pytest.approx(0.2)


def day_with(resource, **statuses):
    """Six channels observed throughout, and so many that were not observed at all, by status."""
    day = records(status="joined")
    for status, count in statuses.items():
        for _ in range(count):
            number = len(day) + 1
            day.append(
                snapshot(
                    number,
                    window_start=START,
                    observed_seconds=0.0,
                    observed_intervals=[],
                    status=status.replace("_", " "),
                )
            )
    put_curated(resource.lake, DAY, day)
    return result(days.channels_were_observed, resource)


def test_channels_that_were_never_joined_are_a_warning_that_says_why(resource):
    evaluation = day_with(resource, joining=6, no_answer=2, suspended=1)
    assert verdict(evaluation) == (False, "WARN")
    assert evaluation.description == (
        "42.9% of the time of 14 channels was observed; never observed: 6 joining, 2 no answer"
    )
    assert numbers(evaluation) == {
        "observed_share": pytest.approx(6 / 14),
        "channels": 14,
        "never_observed": 8,
        "cannot_be_read": 1,
    }


def test_channels_that_cannot_be_read_are_no_warning(resource):
    evaluation = day_with(resource, suspended=4, banned=3, not_found=3, renamed=3, opted_out=3)
    assert evaluation.passed
    assert evaluation.metadata["cannot_be_read"].value == 16


def volume(resource, *viewers, settings=None):
    """The check after days with so many viewers a channel, the last of them being the day; None: no day."""
    for day, count in zip(days_up_to(DAY, len(viewers)), viewers, strict=True):
        if count is not None:
            put_curated(resource.lake, day, records(day, count))
    return result(days.volume_is_usual, resource, settings)


@pytest.mark.parametrize(
    ("viewers", "passed", "rows_times", "viewers_times"),
    [
        # Six channels with v viewers each: 6 v rows, and 2 (v + 2) viewers.
        ((20, 20, 20, 20), True, 1.0, 1.0),
        ((20, 20, 20, 50), False, 2.5, 52 / 22),
        ((20, 20, 20, 6), False, 0.3, 8 / 22),
        # One odd day does not move the median, nor does a day that was not made.
        ((20, 400, 20, None, 20, 24), True, 1.2, 26 / 22),
        # Only the seven days before count.
        ((900, 900, 900, 900, 20, 20, 20, None, 20, 20, 20, 20), True, 1.0, 1.0),
    ],
)
def test_volume_is_measured_by_the_median_of_the_days_before(
    resource, viewers, passed, rows_times, viewers_times
):
    evaluation = volume(resource, *viewers)
    assert verdict(evaluation) == (passed, "WARN")
    found = numbers(evaluation)
    assert found["rows"] == 6 * viewers[-1]
    assert found["viewers"] == 2 * (viewers[-1] + 2)
    assert found["rows_times_usual"] == pytest.approx(rows_times)
    assert found["viewers_times_usual"] == pytest.approx(viewers_times)
    assert f"{6 * viewers[-1]} rows, {rows_times:.2f} times the usual" in evaluation.description


def test_volume_says_nothing_with_few_earlier_days_or_before_the_day_is_over(resource):
    evaluation = volume(resource, 20, 20, 400)
    assert evaluation.passed
    assert evaluation.description == "2 of the 7 days before have data; 3 are needed"
    assert numbers(evaluation) == {"rows": 2400, "viewers": 804, "earlier_days": 2}
    assert not volume(resource, 20, 20, 20, 400, settings=at(START + timedelta(hours=5))).passed
    unfinished = result(days.volume_is_usual, resource, at(START + timedelta(hours=3)))
    assert (unfinished.passed, unfinished.description) == (True, "the day is not over yet")
