"""``vieweratlas analyze``: run the daily job for a range of days, and print the outcome of each."""

from __future__ import annotations

from datetime import date

from vieweratlas_dagster.commands.run_jobs import analyze_days, instance_home, print_map
from vieweratlas_dagster.commands.terminal import console, errors
from vieweratlas_dagster.settings import Settings


def analyze_and_print(settings: Settings, first: date, last: date) -> bool:
    """Run the daily job, oldest day first; returns whether all runs succeeded and made a map."""
    for outcome in analyze_days(settings, first, last, instance_home(settings)):
        mark, style = ("done", "green") if outcome.success else ("failed", "red")
        console.print(f"{outcome.partition}:", end=" ", highlight=False)
        console.print(mark, style=style, end=" ")
        console.print(f"(run {outcome.run_id})", highlight=False)
        for problem in (*outcome.failures, *(f"check: {text}" for text in outcome.failed_checks)):
            errors.print(problem, soft_wrap=True, markup=False)
        if not outcome.success:
            return False
    return print_map(settings, last)
