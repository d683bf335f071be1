"""Settings: precedence, and one readable line for everything that is wrong."""

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from collector_service.clock import ScaledClock, parse_clock
from collector_service.live.state_dir import own_collector_id
from collector_service.privacy.viewer_secret import load_viewer_key_secret
from collector_service.settings import PrivacySettings, SettingsError
from collector_service.settings import Settings as CollectorSettings
from vieweratlas_dagster.settings import Settings


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_collector_accepts_every_section_of_the_file(tmp_path):
    sections = Settings.model_fields.keys()
    assert CollectorSettings.foreign_sections == sections - CollectorSettings.model_fields.keys()
    config = write(tmp_path / "config.yaml", "".join(f"{section}: {{}}\n" for section in sections))
    assert CollectorSettings.load(config, environment={}) == CollectorSettings()


def test_precedence_is_command_line_environment_file_default(tmp_path):
    config = write(
        tmp_path / "c.yaml", "storage: {dir: from_file, s3_prefix: file/}\nlogging: {level: ERROR}\n"
    )
    environment = {"LAKE_DIR": "from_environment", "S3_PREFIX": "environment/", "LOG_LEVEL": ""}
    overrides = {"storage": {"s3_prefix": "line/"}}
    settings = Settings.load(config, overrides, environment)
    assert settings.storage.dir == Path("from_environment")
    assert settings.storage.s3_prefix == "line/"
    assert settings.logging.level == "ERROR"
    assert settings.collection.window_seconds == 300


def test_the_shipped_config_holds_the_defaults_and_the_presets_load(tmp_path):
    shipped = Path("config/config.yaml")
    assert Settings.load(shipped, environment={}) == Settings.load(
        write(tmp_path / "e.yaml", ""), environment={}
    )
    for preset, expected in (("rigorous", 300), ("explorer", 1), ("debug", 5)):
        target = tmp_path / "config.yaml"
        target.write_text(f"preset: {preset}\nanalysis: {{window_days: 3, overlap_threshold: 5}}\n")
        (tmp_path / "presets").mkdir(exist_ok=True)
        (tmp_path / "presets" / f"{preset}.yaml").write_text(
            Path(f"config/presets/{preset}.yaml").read_text()
        )
        settings = Settings.load(target, environment={})
        assert settings.analysis.overlap_threshold == expected
        assert settings.analysis.window_days == 3


def test_the_shipped_config_names_every_setting_with_its_default():
    text = Path("config/config.yaml").read_text()
    everything = yaml.safe_load(
        re.sub(r"^# ?(?=( {2})*\w+:)|(?<=^  )# (?=\w+:)", "", text, flags=re.MULTILINE)
    )
    everything.pop("preset")
    for section, model in Settings.model_fields.items():
        assert set(everything[section]) == set(type(model.default).model_fields), section
    assert Settings.model_validate(everything) == Settings()


def test_the_collector_leaves_the_analysis_sections_unread(tmp_path):
    config = write(tmp_path / "c.yaml", "analysis: {resolution: nonsense}\n")
    assert CollectorSettings.load(config, environment={}).collection.window_seconds == 300


def test_channels_come_as_a_comma_list(tmp_path):
    config = write(tmp_path / "c.yaml", "")
    settings = Settings.load(config, environment={"TWITCH_CHANNELS": "#One, two,,Three "})
    assert settings.collection.channels == ("one", "two", "three")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("analysis: {resolution: -1}", "analysis.resolution: -1: input should be greater than 0"),
        (
            "analysis: {algorithm: kmeans}",
            "analysis.algorithm: 'kmeans': input should be 'leiden' or 'louvain'",
        ),
        ("colection: {}", "colection: unknown setting"),
        ("collection: {windw: 3}", "collection.windw: unknown setting"),
        ("collection: {window_seconds: 77}", "77 does not divide a day"),
        ("collection: 5", "collection: 5"),
        ("twitch: {irc_url: 'http://x'}", "twitch.irc_url: 'http://x': expected ircs://... or irc://..."),
        ("storage: {type: s3}", "S3_BUCKET"),
        ("preset: wild", "preset: 'wild': expected one of"),
        ("vod: {bucket_len_s: 60}", "vod.bucket_len_s 60 differs from collection.window_seconds 300"),
        ("simulation: {clock: soon}", 'expected "system"'),
        ("- a", "expected sections"),
        ("a: [", "not valid YAML"),
        ("twitch: {irc_url: 'ircs://x:99999'}", "expected a port from 1 to 65535"),
        ("twitch: {ca_file: /nowhere}", "/nowhere does not exist"),
    ],
)
def test_wrong_settings_are_named(tmp_path, text, expected):
    with pytest.raises(SettingsError) as refused:
        Settings.load(write(tmp_path / "c.yaml", text), environment={})
    assert expected in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_wrong_environment_value_names_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("STORAGE_TYPE", "floppy")
    with pytest.raises(SettingsError, match=r"storage\.type \(or STORAGE_TYPE\): 'floppy'"):
        Settings.load(write(tmp_path / "c.yaml", ""))


def test_the_environment_reaches_into_a_section_and_leaves_the_rest_of_it(tmp_path):
    file = write(
        tmp_path / "c.yaml", "storage: {type: s3, s3_bucket: b}\nanalysis: {spark: {timeout_minutes: 9}}\n"
    )
    role = "arn:aws:iam::111122223333:role/spark"
    named = {"ANALYSIS_ENGINE": "spark", "EMR_APPLICATION_ID": "00f1", "EMR_EXECUTION_ROLE_ARN": role}
    analysis = Settings.load(file, environment=named).analysis
    assert analysis.engine == "spark"
    assert (analysis.spark.emr_application_id, analysis.spark.execution_role_arn) == ("00f1", role)
    assert analysis.spark.timeout_minutes == 9
    assert CollectorSettings.load(file, environment=named).storage.s3_bucket == "b"


def test_ten_thousand_channels_fit_into_the_config_file(tmp_path):
    logins = [f"channel_with_a_name_{number:05d}" for number in range(10_000)]
    text = "collection:\n  channels:\n" + "".join(f"    - {login}\n" for login in logins)
    loaded = Settings.load(write(tmp_path / "c.yaml", text), environment={})
    assert list(loaded.collection.channels) == logins


def test_a_mistake_in_the_config_file_is_named_with_its_line(tmp_path):
    text = "collection:\n  top_channels_limit: 3\n window_seconds: 300\n"
    with pytest.raises(SettingsError, match=r"c\.yaml, line 3, column 2: not valid YAML: "):
        Settings.load(write(tmp_path / "c.yaml", text), environment={})


def test_a_missing_config_file_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match="cannot read the config file"):
        Settings.load(tmp_path / "none.yaml")


def test_the_environment_names_the_file_and_the_command_line_beats_it(tmp_path):
    named = write(tmp_path / "named.yaml", "logging: {level: ERROR}\n")
    given = write(tmp_path / "given.yaml", "logging: {level: DEBUG}\n")
    environment = {"VIEWERATLAS_CONFIG": str(named)}
    for settings in (CollectorSettings, Settings):
        assert settings.load(environment=environment).logging.level == "ERROR"
        assert settings.load(given, environment=environment).logging.level == "DEBUG"
        assert settings.load(environment={"VIEWERATLAS_CONFIG": ""}).logging.level == "INFO"
    environment = {"VIEWERATLAS_CONFIG": str(tmp_path / "none.yaml")}
    with pytest.raises(
        SettingsError, match=r"none\.yaml: No such .*--config names it, else VIEWERATLAS_CONFIG"
    ):
        Settings.load(environment=environment)


def test_secrets_are_neither_shown_nor_repeated_in_errors(tmp_path):
    environment = {"TWITCH_CLIENT_SECRET": "hush-hush", "VIEWER_KEY_SECRET": "x" * 65}
    with pytest.raises(SettingsError) as refused:
        Settings.load(write(tmp_path / "c.yaml", ""), environment=environment)
    with pytest.raises(SettingsError) as unreadable:
        Settings.load(write(tmp_path / "d.yaml", 'twitch:\n  client_secret: "hush-hush\n'), environment={})
    assert "line" in str(unreadable.value)
    assert "hush" not in str(unreadable.value)
    assert "hush" not in str(refused.value)
    assert "xxx" not in str(refused.value)
    settings = Settings.load(
        tmp_path / "c.yaml",
        environment={"TWITCH_CLIENT_SECRET": "hush-hush", "VIEWER_KEY_SECRET": "k" * 20},
    )
    assert "hush" not in repr(settings)
    assert "kkk" not in repr(settings) + settings.model_dump_json()


def test_the_viewer_key_is_created_once_and_private(tmp_path):
    privacy = PrivacySettings(viewer_key_file=tmp_path / "deep" / "key")
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: load_viewer_key_secret(privacy), range(16)))
    assert len(secrets) == 1
    assert stat.S_IMODE(privacy.viewer_key_file.stat().st_mode) == 0o600
    assert [path.name for path in privacy.viewer_key_file.parent.iterdir()] == ["key"]


def test_a_collector_keeps_the_id_it_drew(tmp_path):
    first = own_collector_id(tmp_path / "one")
    assert own_collector_id(tmp_path / "one") == first
    assert own_collector_id(tmp_path / "two") != first
    (tmp_path / "one" / "collector_id").write_text("../x")
    with pytest.raises(SettingsError, match="does not contain a collector id"):
        own_collector_id(tmp_path / "one")


def test_an_open_or_damaged_viewer_key_is_refused(tmp_path):
    path = tmp_path / "key"
    path.write_text("0" * 32)
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        load_viewer_key_secret(PrivacySettings(viewer_key_file=path))
    path.chmod(0o600)
    assert load_viewer_key_secret(PrivacySettings(viewer_key_file=path)) == "0" * 32
    path.write_text("")
    with pytest.raises(SettingsError, match="does not hold a key"):
        load_viewer_key_secret(PrivacySettings(viewer_key_file=path))


def test_a_scaled_clock_runs_between_its_ends(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    clock = ScaledClock(real_origin=100.0, world_origin=5_000.0, rate=60.0, world_end=5_600.0)
    readings = []
    for now[0] in (0.0, 100.0, 101.0, 105.0, 200.0):
        readings.append(clock.now())
    assert readings == [5_000.0, 5_000.0, 5_060.0, 5_300.0, 5_600.0]
    assert parse_clock(clock.spec()) == clock


@pytest.mark.parametrize("spec", ["", "x", "1/2", "1/2/0", "1/2/-3", "1/2/nan", "1/2/3/4/5"])
def test_other_texts_are_no_clock(spec):
    with pytest.raises(ValueError, match=r"rate|expected"):
        parse_clock(spec)
