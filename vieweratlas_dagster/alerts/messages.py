"""The words of an alert: subject and text, incidents that share a message, and removal of secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from pydantic import BaseModel, SecretStr

from vieweratlas_dagster.alerts.incidents import Incident
from vieweratlas_dagster.settings import AlertSettings, Settings

# Amazon SNS allows this many characters, ASCII, on one line; and 256 KiB of text.
MAX_SUBJECT = 100
# A flood (a backfill of a year that fails) becomes one message, with at most _MOST_SHOWN incidents.
_MOST_MESSAGES = 10
_MOST_SHOWN = 100
_LONGEST_LINE = 300
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSW|PASS$|CREDENTIAL|PRIVATE|API_?KEY", re.IGNORECASE)
# Shorter values of the environment are ordinary words.
_SHORTEST_SECRET = 6
_SECRET_LOOKS = (
    re.compile(r"(?<=oauth:)\w+", re.IGNORECASE),
    re.compile(r"(?<=bearer )[\w.~+/=-]+", re.IGNORECASE),
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    re.compile(
        r"((?:token|secret|password|signature)[\"']?\s?[=:]\s?[\"']?)[\w.~+/%=-]{6,}", re.IGNORECASE
    ),
)


@dataclass(frozen=True)
class Message:
    """A subject (one ASCII line of at most 100 characters), a text of several lines, and its incidents."""

    subject: str
    text: str
    incidents: tuple[Incident, ...]


def known_secrets(settings: Settings, environment: Mapping[str, str]) -> frozenset[str]:
    """Every secret value of the settings and the environment, also in the form that it has in a URL."""
    values = set(_secrets_of(settings))
    values |= {
        value
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET
    }
    with suppress(OSError):
        values.add(settings.privacy.viewer_key_file.read_text(errors="replace").strip())
    values |= {value.removeprefix("oauth:") for value in values}
    values |= {quote(value, safe="") for value in values}
    return frozenset(value for value in values if value)


def _secrets_of(section: BaseModel) -> Iterator[str]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from _secrets_of(value)


def one_line(text: str, secrets: Iterable[str], longest: int = _LONGEST_LINE) -> str:
    """A text that may be stored and sent: one line, without secrets, at most ``longest`` characters."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = " ".join(text.split())
    for look in _SECRET_LOOKS:
        text = look.sub(lambda found: f"{found[1] if found.re.groups else ''}***", text)
    return text if len(text) <= longest else text[: longest - 3] + "..."


def compose(incidents: Iterable[Incident], settings: AlertSettings) -> list[Message]:
    """The messages about these incidents: one per incident, and one for all warnings about a partition."""
    groups: dict[tuple[bool, str], list[Incident]] = {}
    for incident in incidents:
        groups.setdefault((incident.failing, incident.report.digest or incident.key), []).append(incident)
    if len(groups) > _MOST_MESSAGES:
        everything = [incident for group in groups.values() for incident in group]
        halves = [
            [incident for incident in everything if incident.failing is failing]
            for failing in (True, False)
        ]
        return [_several(half, _flood(half), settings) for half in halves if half]
    return [
        _single(group[0], settings) if len(group) == 1 else _several(group, _warnings(group), settings)
        for group in groups.values()
    ]


def _single(incident: Incident, settings: AlertSettings) -> Message:
    return Message(_subject(_headline(incident)), _block(incident, settings), (incident,))


def _several(incidents: list[Incident], headline: str, settings: AlertSettings) -> Message:
    names = ", ".join(incident.report.name for incident in incidents)
    blocks = [_block(incident, settings) for incident in incidents[:_MOST_SHOWN]]
    if len(incidents) > _MOST_SHOWN:
        blocks.append(f"And {len(incidents) - _MOST_SHOWN} more: {settings.ui_url}/runs")
    return Message(_subject(f"{headline}: {names}"), "\n\n".join(blocks), tuple(incidents))


def _warnings(incidents: list[Incident]) -> str:
    end = "" if incidents[0].failing else " are over"
    return f"{len(incidents)} warnings about {incidents[0].report.digest}{end}"


def _flood(incidents: list[Incident]) -> str:
    return f"{len(incidents)} failures{'' if incidents[0].failing else ' are over'}"


def _headline(incident: Incident) -> str:
    report = incident.report
    return f"{report.name} {report.what if incident.failing else 'is well again'}"


def _subject(headline: str) -> str:
    ascii_only = f"ViewerAtlas: {headline}".encode("ascii", "replace").decode()
    return one_line(ascii_only, (), MAX_SUBJECT)


def _block(incident: Incident, settings: AlertSettings) -> str:
    report = incident.report
    look = f"Look: {settings.ui_url}{report.path}"
    if not incident.failing:
        span = f"It failed from {_instant(incident.since)} to {_instant(incident.at)}."
        return "\n".join((f"{_headline(incident)}.", span, look))
    again = f" ({incident.failures} times since the last message)" if incident.failures > 1 else ""
    return "\n".join(
        (
            f"{_headline(incident)}.",
            *report.lines,
            f"Since: {_instant(incident.since)}{again}",
            look,
            f"What to do: {settings.runbook}#{report.anchor}",
        )
    )


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
