"""Names of communities and regions, from the games, languages and names of their channels.

``communities`` finds the groups. This module chooses their names with reasons and confidence, keeps names
unique and steady, and gives colours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from vieweratlas_dagster.analysis.colors import community_color, region_color
from vieweratlas_dagster.analysis.stability import Previous
from vieweratlas_dagster.tables import AROUND, COMMUNITIES

# Twitch's stream languages (ISO 639-1, and its own "asl" and "other").
LANGUAGES = {
    "ar": "Arabic", "asl": "American Sign Language", "bg": "Bulgarian", "ca": "Catalan", "cs": "Czech",
    "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian",
    "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French", "gl": "Galician", "he": "Hebrew",
    "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "is": "Icelandic",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "ms": "Malay",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "th": "Thai",
    "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese",
    "zh": "Chinese", "zh-hk": "Chinese (Hong Kong)",
}  # fmt: skip
_NO_LANGUAGE = {"other", ""}

_GAME_SHARE = 0.5
_TWO_GAMES_SHARE = 0.6
_LANGUAGE_SHARE = 0.6
# A name is kept while it describes nearly as much of the audience as the best new one would.
_STEADINESS = 0.15
# A channel may still name a community while it has this share of the biggest channel's audience.
_STILL_LEADING = 0.5
_APART = " · "
_AND = " & "


@dataclass(frozen=True)
class _Name:
    text: str
    reason: str
    confidence: float
    generic: bool = False


@dataclass(frozen=True)
class _Group:
    """One community or region with its channels, the one with most viewers first."""

    level: str
    id: int
    parent: int | None
    members: list[dict[str, Any]]

    @property
    def viewers(self) -> int:
        return sum(member["viewers"] or 0 for member in self.members)

    @property
    def leaders(self) -> list[str]:
        return [member["channel"] for member in self.members]

    @property
    def language(self) -> tuple[str, float] | None:
        """The language that prevails, with its share of the audience."""
        shares = self.shares("language")
        return shares[0] if shares and shares[0][1] >= _LANGUAGE_SHARE else None

    def leads(self, member: dict[str, Any]) -> bool:
        """Whether the channel is big enough to name the group by."""
        return bool(member["weight"] >= _STILL_LEADING * self.members[0]["weight"])

    def shares(self, column: str) -> list[tuple[str, float]]:
        """Values of a column with the share of the audience they describe, the largest first."""
        total: Counter[str] = Counter()
        for member in self.members:
            if member[column] and member[column] not in _NO_LANGUAGE:
                total[member[column]] += member["weight"]
        every = sum(member["weight"] for member in self.members)
        return [
            (value, part / every)
            for value, part in sorted(total.items(), key=lambda item: (-item[1], item[0]))
        ]


def label_communities(
    audiences: pl.DataFrame,
    partition: pl.DataFrame,
    *,
    edges: pl.DataFrame | None = None,
    previous: Previous | None = None,
    overrides: Mapping[str, Mapping[int, str]] | None = None,
) -> pl.DataFrame:
    """Names, reasons and colours of every community and region.

    A channel counts by its viewers; when any audience is unknown, by the total weight of its edges; without
    edges all channels count the same.
    Communities are named by a game that holds half of the audience (or two that hold 60 %), with the
    language when it is not the one that most of the map speaks; else by language; else by the biggest
    channel. Regions are named by language first. Names that coincide get the biggest channel added, a
    community's rather than a region's, so that a name is on the map twice only if people gave it twice.

    Args:
        audiences: rows of AUDIENCES.
        partition: rows of PARTITION for the same channels.
        edges: rows of EDGES between them.
        previous: the earlier map: its names are kept while they still describe the audience, its
            colours always.
        overrides: names given by people: level -> persistent id -> name; they win.

    Returns:
        Rows of COMMUNITIES.
    """
    groups = _groups(_weighted(audiences, edges), partition)
    usual = _usual_language([row for group in groups if group.level == "region" for row in group.members])
    before = _before(previous)
    rows: list[dict[str, Any]] = []
    colors: dict[tuple[str, int], str] = {}
    taken: list[str] = []
    for level in ("region", "community"):
        ours = [group for group in groups if group.level == level]
        given = (overrides or {}).get(level, {})
        found = {
            group.id: _by_hand(given[group.id])
            if group.id in given
            else _steady(group, usual, before.get((level, group.id)))
            for group in ours
        }
        names = _unique(ours, found, given, before, taken)
        taken = [name.text for name in names.values()]
        _give_colors(ours, colors, before)
        newest = max([group.id for group in ours], default=0)
        if previous:
            newest = max(newest, previous.newest_id(level))
        rows += [_row(group, names[group.id], colors[level, group.id], newest) for group in ours]
    return COMMUNITIES.conform(pl.DataFrame(rows, schema=COMMUNITIES.schema))


def _row(group: _Group, name: _Name, color: str, newest_id: int) -> dict[str, Any]:
    """A row of COMMUNITIES."""
    return {
        "id": group.id,
        "level": group.level,
        "label": name.text,
        "reason": name.reason,
        "confidence": name.confidence,
        "generic": name.generic,
        "size": len(group.members),
        "viewers": group.viewers,
        "parent": group.parent,
        "color": color,
        "newest_id": newest_id,
    }


def unknown_overrides(communities: pl.DataFrame, overrides: Mapping[str, Mapping[int, str]]) -> list[str]:
    """Names given by people to groups that are not on the map, such as ``community 12 (Speedrunners)``.

    Args:
        communities: rows of COMMUNITIES.
        overrides: see `label_communities`.
    """
    known = set(communities.select("level", "id").iter_rows())
    return [
        f"{level} {key} ({label})"
        for level, given in overrides.items()
        for key, label in given.items()
        if (level, key) not in known
    ]


def language_name(code: str) -> str:
    """English name of a language code; the code itself in capitals when it is not in the table."""
    return LANGUAGES.get(code.lower(), code.upper())


def _weighted(audiences: pl.DataFrame, edges: pl.DataFrame | None) -> pl.DataFrame:
    """The channels with the weight of each (> 0)."""
    if audiences["viewers"].null_count() == 0:
        return audiences.with_columns(weight=pl.col("viewers").clip(1).cast(pl.Float64))
    if edges is None or edges.is_empty():
        return audiences.with_columns(weight=pl.lit(1.0))
    ends = [edges.select(pl.col(end).alias("channel"), "weight") for end in ("source", "target")]
    strength = pl.concat(ends).group_by("channel").agg(pl.col("weight").sort().sum())
    least = pl.col("weight").filter(pl.col("weight") > 0).min()
    return audiences.join(strength, on="channel", how="left").with_columns(
        pl.col("weight").fill_null(0.0).clip(least)
    )


def _groups(channels: pl.DataFrame, partition: pl.DataFrame) -> list[_Group]:
    """All regions and communities, the weightiest first."""
    members = (
        channels.select("channel", "viewers", "game_name", "language", "weight")
        .join(partition.select("channel", "community", "region"), on="channel", how="inner")
        .sort("weight", "viewers", "channel", descending=[True, True, False], nulls_last=True)
    )
    found = []
    for level in ("region", "community"):
        for (key,), frame in members.filter(pl.col(level).is_not_null()).group_by(
            level, maintain_order=True
        ):
            rows = frame.to_dicts()
            parent = rows[0]["region"] if level == "community" else None
            found.append(_Group(level, int(key), parent, rows))
    return sorted(found, key=lambda group: (-sum(row["weight"] for row in group.members), group.id))


def _usual_language(members: list[dict[str, Any]]) -> str | None:
    """The language of most of the whole map's audience, if any."""
    shares = _Group("map", 0, None, members).shares("language") if members else []
    return shares[0][0] if shares and shares[0][1] > _GAME_SHARE else None


def _candidates(group: _Group, usual: str | None) -> list[_Name]:
    """Names that fit, the best first; the last one always fits."""
    games, language = group.shares("game_name"), group.language
    found = []
    if language:
        found.append(_Name(language_name(language[0]), _watches_in(language), language[1]))
    if games and games[0][1] >= _GAME_SHARE:
        found.append(_of_game(games[0], group, usual))
    elif len(games) > 1 and games[0][1] + games[1][1] >= _TWO_GAMES_SHARE:
        (first, share), (second, rest) = games[:2]
        reason = f"{_watches(games[0])}, {rest:.0%} {second}"
        found.append(_with_language(_Name(f"{first}{_AND}{second}", reason, share + rest), language, usual))
    if group.level == "community" and len(found) > 1:
        found.reverse()
    return [*found, _around(group, 0)]


def _of_game(game: tuple[str, float], group: _Group, usual: str | None) -> _Name:
    return _with_language(_Name(game[0], _watches(game), game[1]), group.language, usual)


def _around(group: _Group, at: int) -> _Name:
    """The name after a leading channel, when no game or language prevails."""
    member = group.members[at]
    known = member["viewers"]
    size = "one of its biggest channels" + (f", {known:,} viewers" if known is not None else "")
    share = member["weight"] / sum(row["weight"] for row in group.members)
    reason = f"{member['channel']} is {size}; no game or language prevails"
    return _Name(AROUND + member["channel"], reason, share, generic=True)


def _with_language(name: _Name, language: tuple[str, float] | None, usual: str | None) -> _Name:
    if language is None or language[0] == usual:
        return name
    return replace(
        name,
        text=f"{name.text}{_APART}{language_name(language[0])}",
        reason=f"{name.reason}; {_watches_in(language)}",
        confidence=min(name.confidence, language[1]),
    )


def _watches(game: tuple[str, float]) -> str:
    return f"{game[1]:.0%} of the audience watches {game[0]}"


def _watches_in(language: tuple[str, float]) -> str:
    return f"{language[1]:.0%} of the audience watches in {language_name(language[0])}"


def _by_hand(text: str) -> _Name:
    return _Name(text, "named by hand", 1.0)


def _before(previous: Previous | None) -> dict[tuple[str, int], dict[str, Any]]:
    if previous is None:
        return {}
    return {(row["level"], row["id"]): row for row in previous.communities.iter_rows(named=True)}


def _steady(group: _Group, usual: str | None, before: dict[str, Any] | None) -> _Name:
    """The best name, or the earlier one if that describes nearly as much of the audience."""
    best, *others = _candidates(group, usual)
    if before is None:
        return best
    if best.generic:
        leading = (at for at, member in enumerate(group.members) if group.leads(member))
        fitting = [_around(group, at) for at in leading]
    else:
        games = group.shares("game_name")[1:]
        others += [_of_game(game, group, usual) for game in games]
        fitting = [
            name
            for name in (best, *others)
            if name.confidence >= best.confidence - _STEADINESS and not name.generic
        ]
    label = str(before["label"])
    kept = (
        name
        for name in fitting
        if label == name.text or label.startswith((name.text + _APART, name.text + _AND))
    )
    return next(kept, best)


def _unique(
    groups: list[_Group],
    names: dict[int, _Name],
    by_hand: Collection[int],
    before: Mapping[tuple[str, int], Mapping[str, Any]],
    taken: Collection[str],
) -> dict[int, _Name]:
    """Names made distinct, also from those taken, by adding leading channels; given ones stay."""
    result = dict(names)
    most = max((len(group.members) for group in groups), default=0)
    for count in range(1, most + 2):
        texts = [*taken, *(name.text for name in result.values())]
        uses = Counter(text.casefold() for text in texts)
        for group in groups:
            name = names[group.id]
            if group.id in by_hand or uses[result[group.id].text.casefold()] == 1:
                continue
            leaders = _leaders(group, name, before.get((group.level, group.id)))
            added = _AND.join(leaders[:count]) + (f" ({group.id})" if count > len(leaders) else "")
            text = AROUND + added if name.generic else f"{name.text}{_APART}{added}"
            result[group.id] = replace(name, text=text)
    return result


def _leaders(group: _Group, name: _Name, before: Mapping[str, Any] | None) -> list[str]:
    """Its channels, largest first; a leading one in the name or the earlier label comes before."""
    leading = [member["channel"] for member in group.members if group.leads(member)]
    earlier = str(before["label"]).rpartition(_APART)[2].partition(_AND)[0] if before else ""
    first = name.text.removeprefix(AROUND) if name.generic else earlier
    return sorted(group.leaders, key=lambda channel: channel != first or channel not in leading)


def _give_colors(
    groups: list[_Group],
    colors: dict[tuple[str, int], str],
    before: Mapping[tuple[str, int], Mapping[str, Any]],
) -> None:
    """Colours of the earlier map by id; new ones as far as possible from those in use."""
    for group in groups:
        if (group.level, group.id) in before:
            colors[group.level, group.id] = before[group.level, group.id]["color"]
    for group in groups:
        key = (group.level, group.id)
        if key in colors:
            continue
        if group.parent is None:
            taken = [(peer.level, peer.id) for peer in groups if (peer.level, peer.id) in colors]
            colors[key] = region_color([colors[peer] for peer in taken])
        else:
            siblings = [
                colors[peer.level, peer.id]
                for peer in groups
                if peer.parent == group.parent and (peer.level, peer.id) in colors
            ]
            colors[key] = community_color(colors["region", group.parent], siblings)
