"""The collector's settings, their allowed values and their sources.

``vieweratlas_dagster.settings`` adds the sections that only the code location reads.

Precedence: command line > environment > config file > default. The file is the one of the command line
(--config), else of the environment (VIEWERATLAS_CONFIG), else config/config.yaml.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from collector_service.clock import Clock, parse_clock
from collector_service.contract import COLLECTOR_ID
from collector_service.support.safe_yaml import YamlError, load_yaml

DEFAULT_CONFIG = Path("config/config.yaml")
# The settings file of all programs whose command line names none.
CONFIG_VARIABLE = "VIEWERATLAS_CONFIG"

# Environment variable -> its setting. The variables keep the names that users know.
ENVIRONMENT: dict[str, tuple[str, ...]] = {
    "TWITCH_OAUTH_TOKEN": ("twitch", "oauth_token"),
    "TWITCH_CLIENT_ID": ("twitch", "client_id"),
    "TWITCH_CLIENT_SECRET": ("twitch", "client_secret"),
    "TWITCH_IRC_URL": ("twitch", "irc_url"),
    "TWITCH_HELIX_URL": ("twitch", "helix_url"),
    "TWITCH_ID_URL": ("twitch", "id_url"),
    "TWITCH_GQL_URL": ("twitch", "gql_url"),
    "TWITCH_CA_FILE": ("twitch", "ca_file"),
    "STORAGE_TYPE": ("storage", "type"),
    "LAKE_DIR": ("storage", "dir"),
    "S3_BUCKET": ("storage", "s3_bucket"),
    "S3_PREFIX": ("storage", "s3_prefix"),
    "AWS_REGION": ("storage", "region"),
    "AWS_ENDPOINT_URL": ("storage", "endpoint_url"),
    "TWITCH_CHANNELS": ("collection", "channels"),
    "CHANNELS_FILE": ("collection", "channels_file"),
    "COLLECTOR_STATE_DIR": ("collection", "state_dir"),
    "COLLECTOR_ID": ("collection", "collector_id"),
    "COLLECTOR_SHARD": ("collection", "shard"),
    "COLLECTOR_HTTP_PORT": ("collection", "http_port"),
    "VIEWER_KEY_SECRET": ("privacy", "viewer_key_secret"),
    "VIEWER_KEY_FILE": ("privacy", "viewer_key_file"),
    "VIEWERATLAS_CLOCK": ("simulation", "clock"),
    "ANALYSIS_ENGINE": ("analysis", "engine"),
    "EMR_APPLICATION_ID": ("analysis", "spark", "emr_application_id"),
    "EMR_EXECUTION_ROLE_ARN": ("analysis", "spark", "execution_role_arn"),
    "ALERTS_BACKEND": ("alerts", "backend"),
    "ALERTS_TOPIC_ARN": ("alerts", "topic_arn"),
    "DAGSTER_UI_URL": ("alerts", "ui_url"),
    "LOG_LEVEL": ("logging", "level"),
    "LOG_FORMAT": ("logging", "format"),
}


_MOST_MISTAKES = 20
_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother = 2, 120, 120
_shown = _short.repr


class SettingsError(Exception):
    """A setting is wrong; the text names the key, the value and what is allowed, one line each."""


class Section(BaseModel):
    """A section of the settings: unknown keys are refused, values don't change after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def _url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in schemes or not rest:
            raise ValueError("expected " + " or ".join(f"{scheme}://..." for scheme in schemes))
        try:
            port = urlsplit(value).port
        except ValueError:
            port = 0
        if port == 0:
            raise ValueError("expected a port from 1 to 65535")
        return value.rstrip("/")

    return AfterValidator(check)


def _shard(value: str) -> str:
    number, separator, count = value.partition("/")
    if not (separator and number.isdecimal() and count.isdecimal() and int(number) <= int(count) > 0):
        raise ValueError("expected i/n, collector i of n, for example 1/3")
    return value


class StorageSettings(Section):
    """Where the lake is."""

    type: Literal["file", "s3"] = "file"
    dir: Path = Path("data/lake")
    s3_bucket: str = ""
    s3_prefix: str = "vieweratlas/"
    region: str = "us-east-1"
    endpoint_url: str = ""

    @model_validator(mode="after")
    def _bucket_named(self) -> Self:
        if self.type == "s3" and not self.s3_bucket:
            raise ValueError("storage.type is s3, so S3_BUCKET (storage.s3_bucket) must name a bucket")
        return self


class TwitchSettings(Section):
    """How Twitch is reached; credentials are needed for discovery only."""

    irc_url: Annotated[str, _url("ircs", "irc")] = "ircs://irc.chat.twitch.tv:6697"
    helix_url: Annotated[str, _url("https", "http")] = "https://api.twitch.tv/helix"
    id_url: Annotated[str, _url("https", "http")] = "https://id.twitch.tv"
    gql_url: Annotated[str, _url("https", "http")] = "https://gql.twitch.tv/gql"
    ca_file: Path | None = None
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    oauth_token: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _ca_file_exists(self) -> Self:
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ValueError(f"twitch.ca_file (TWITCH_CA_FILE): {self.ca_file} does not exist")
        return self

    @property
    def has_client(self) -> bool:
        """Whether a client id and its secret are set, with which Twitch gives an app token."""
        return bool(self.client_id and self.client_secret.get_secret_value())

    @property
    def has_credentials(self) -> bool:
        """Whether Helix can be asked: with a client or with a token."""
        return self.has_client or bool(self.oauth_token.get_secret_value())


class JoinRate(Section):
    """At most ``joins`` JOINs in any ``seconds``, for each connection or for the whole process."""

    joins: int = Field(18, ge=1, le=2000)
    seconds: float = Field(12.5, gt=0)
    scope: Literal["connection", "global"] = "connection"


class CollectionSettings(Section):
    """The live collector's channels, windows and limits."""

    top_channels_limit: int = Field(5000, ge=1, le=100_000)
    channels: tuple[str, ...] = ()
    channels_file: Path | None = None
    bots_file: Path | None = Path("config/bots.txt")
    window_seconds: int = Field(300, ge=10, le=3600)
    refresh_seconds: float = Field(300.0, ge=1)
    opt_outs_seconds: float = Field(36_000.0, ge=1)
    missed_refreshes: int = Field(3, ge=1)
    shard: Annotated[str, AfterValidator(_shard)] = "1/1"
    join_rate: JoinRate = JoinRate()
    channels_per_connection: int = Field(90, ge=1, le=100)
    connection_interval_seconds: float = Field(2.0, ge=0)
    max_runtime_hours: float = Field(24.0, ge=0)
    max_collection_cycles: int = Field(100, ge=0)
    state_dir: Path = Path("data/collector")
    spool_max_bytes: int = Field(2 * 1024**3, ge=1024**2)
    collector_id: str = ""  # empty: drawn once and kept in state_dir
    http_port: int = Field(8080, ge=0, le=65535)

    @property
    def shard_number(self) -> tuple[int, int]:
        """This collector's 0-based number and the number of collectors: 1/3 is (0, 3), and 0/3 is 3/3."""
        number, _, count = self.shard.partition("/")
        return (int(number) - 1) % int(count), int(count)

    @model_validator(mode="before")
    @classmethod
    def _comma_list(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("channels"), str):
            names = [name.strip().lower().lstrip("#") for name in data["channels"].split(",")]
            data = data | {"channels": tuple(name for name in names if name)}
        return data

    @model_validator(mode="after")
    def _allowed(self) -> Self:
        if 86_400 % self.window_seconds:
            raise ValueError(
                f"collection.window_seconds {self.window_seconds} does not divide a day (86400 s)"
            )
        if self.collector_id and not COLLECTOR_ID.fullmatch(self.collector_id):
            raise ValueError(
                f"collection.collector_id {self.collector_id!r}: expected a-z, 0-9, _ and ., "
                "at most 63 characters"
            )
        return self


class VodSettings(Section):
    """Chat of past broadcasts. Off by default: the endpoint is unofficial."""

    enabled: bool = False
    max_vods_per_run: int = Field(50, ge=1)
    max_processing_hours: float = Field(4.0, gt=0)
    vod_limit_per_channel: int = Field(5, ge=1, le=100)
    max_age_hours: float = Field(24.0, gt=0)
    min_views: int = Field(0, ge=0)
    max_wait_hours: float = Field(72.0, gt=0)
    bucket_len_s: int = Field(300, ge=10, le=3600)
    max_attempts: int = Field(5, ge=1)
    lease_seconds: float = Field(900.0, gt=0)
    concurrency: int = Field(4, ge=1, le=32)


class PrivacySettings(Section):
    """The data kept about viewers, and the key behind their pseudonyms."""

    raw_identities: bool = False
    viewer_key_secret: SecretStr = SecretStr("")
    viewer_key_file: Path = Path("data/viewer_key.secret")
    min_shared_published: int = Field(5, ge=1)

    @model_validator(mode="after")
    def _key_length(self) -> Self:
        length = len(self.viewer_key_secret.get_secret_value().encode())
        if length and not 16 <= length <= 64:
            raise ValueError(f"VIEWER_KEY_SECRET has {length} bytes, not 16 to 64 (value not shown)")
        return self


class SimulationSettings(Section):
    """For simulated worlds only: a clock that runs faster than the real one."""

    clock: str = "system"

    @model_validator(mode="after")
    def _parses(self) -> Self:
        parse_clock(self.clock)
        return self


class LoggingSettings(Section):
    """How much is logged, and in which form."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["json", "text"] = "text"


class Settings(Section):
    """All settings of the collector; sections it does not read are accepted unread."""

    # Sections of the same file that only the code location reads.
    foreign_sections: ClassVar[frozenset[str]] = frozenset(
        {"alerts", "analysis", "checks", "late_data", "retention", "source"}
    )

    storage: StorageSettings = StorageSettings()
    twitch: TwitchSettings = TwitchSettings()
    collection: CollectionSettings = CollectionSettings()
    vod: VodSettings = VodSettings()
    privacy: PrivacySettings = PrivacySettings()
    simulation: SimulationSettings = SimulationSettings()
    logging: LoggingSettings = LoggingSettings()

    @property
    def clock(self) -> Clock:
        """The clock of the data."""
        return parse_clock(self.simulation.clock)

    @property
    def today(self) -> date:
        """The UTC day by the clock of the data."""
        return datetime.fromtimestamp(self.clock.now(), UTC).date()

    @classmethod
    def load(
        cls,
        config: Path | None = None,
        overrides: dict[str, dict[str, Any]] | None = None,
        environment: dict[str, str] | None = None,
    ) -> Self:
        """Read the settings.

        Args:
            config: YAML file. None: the one that VIEWERATLAS_CONFIG names; without that, config/config.yaml
                if it exists, else defaults alone.
            overrides: section -> key -> value, from the command line.
            environment: defaults to the process's environment.

        Raises:
            SettingsError: a file cannot be read, or a key or value is not allowed.
        """
        environment = dict(os.environ) if environment is None else environment
        named = environment.get(CONFIG_VARIABLE)
        merged = read_config(Path(named) if config is None and named else config)
        sources = [_from_environment(environment), overrides or {}]
        for source in sources:
            for section, values in source.items():
                current = merged.get(section) or {}
                if not isinstance(current, dict):
                    raise SettingsError(f"{section}: {_shown(current)}: expected keys and values")
                merged[section] = _merge(current, values)
        for section in cls.foreign_sections:
            merged.pop(section, None)
        try:
            return cls.model_validate({key: value for key, value in merged.items() if value is not None})
        except ValidationError as error:
            lines = [line for line, _ in zip(_explain(error), range(_MOST_MISTAKES), strict=False)]
            raise SettingsError("\n".join(lines)) from None


def read_config(config: Path | None) -> dict[str, Any]:
    """The sections of a config file as they stand there, its preset (which wins over the file) applied.

    Raises:
        SettingsError: the file or its preset cannot be read.
    """
    path = DEFAULT_CONFIG if config is None else config
    if config is None and not path.exists():
        return {}
    try:
        data = load_yaml(path)
    except OSError as error:
        raise SettingsError(
            f"cannot read the config file {path}: {error.strerror}; "
            f"--config names it, else {CONFIG_VARIABLE}, else it is {DEFAULT_CONFIG}"
        ) from None
    except YamlError as error:
        place = f", line {error.line}, column {error.column}" if error.line else ""
        raise SettingsError(f"{path}{place}: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise SettingsError(f"{path}: expected sections such as collection: and analysis:")
    preset = data.pop("preset", None)
    return data if preset is None else _merge(data, _read_preset(path, preset))


def _read_preset(config: Path, preset: object) -> dict[str, Any]:
    folders = (config.parent / "presets", DEFAULT_CONFIG.parent / "presets")
    known = {path.stem: path for folder in reversed(folders) for path in sorted(folder.glob("*.yaml"))}
    if not isinstance(preset, str) or preset not in known:
        raise SettingsError(f"preset: {_shown(preset)}: expected one of {', '.join(sorted(known))}")
    return read_config(known[preset])


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for section, values in over.items():
        old = merged.get(section)
        both = isinstance(old, dict) and isinstance(values, dict)
        merged[section] = old | values if both else values
    return merged


def _from_environment(environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, (*sections, key) in ENVIRONMENT.items():
        if value := environment.get(name, ""):
            place: dict[str, Any] = found
            for section in sections:
                place = place.setdefault(section, {})
            place[key] = value
    return found


def _explain(error: ValidationError) -> Iterator[str]:
    """One readable line per mistake; the value of a secret is never shown."""
    for mistake in error.errors():
        place = ".".join(str(part)[:80] for part in mistake["loc"]) or "settings"
        message = mistake["msg"].removeprefix("Value error, ")[:500]
        if mistake["type"] == "extra_forbidden":
            yield f"{place}: unknown setting; see config/config.yaml for the known ones"
            continue
        secret = any(word in place for word in ("secret", "token")) or "not shown" in message
        whole_section = isinstance(mistake["input"], dict)
        shown = "" if secret or whole_section else f"{_shown(mistake['input'])}: "
        names = [name for name, target in ENVIRONMENT.items() if ".".join(target) == place]
        origin = f" (or {names[0]})" if names and names[0] in os.environ else ""
        if message[:2].istitle():
            message = message[0].lower() + message[1:]
        yield f"{place}{origin}: {shown}{message}"
