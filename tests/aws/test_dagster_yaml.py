"""Both dagster.yaml files against Dagster's own schemas, and what people must know of them."""

import re
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._config import process_config
from dagster._core.errors import DagsterInvalidConfigError
from dagster._core.instance.config import dagster_instance_config
from dagster._core.storage.config import pg_config
from dagster._serdes import class_from_code_pointer

from vieweratlas_dagster.commands import run_jobs

from .deployment import AWS

LOCAL = Path(run_jobs.__file__).with_name("local_dagster.yaml")
PLUGINS = ("run_launcher", "compute_logs")


def load(path):
    return yaml.safe_load(path.read_text())


def validate(config, folder):
    """All that Dagster would complain about, of the instance and of the classes that it names.

    Raises:
        DagsterInvalidConfigError: the file is wrong.
    """
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config))
    dagster_instance_config(str(folder))
    for name in set(PLUGINS) & set(config):
        plugin = config[name]
        schema = class_from_code_pointer(plugin["module"], plugin["class"]).config_type()
        result = process_config(schema, plugin["config"])
        if not result.success:
            raise DagsterInvalidConfigError(f"{name}:", result.errors, plugin["config"])


def environment_of(node):
    """Every NAME of an ``{env: NAME}``."""
    if isinstance(node, dict):
        if set(node) == {"env"}:
            yield node["env"]
        else:
            for value in node.values():
                yield from environment_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from environment_of(value)


@pytest.fixture
def environment(monkeypatch):
    for name in [
        *environment_of(load(AWS / "dagster.yaml")),
        *environment_of(load(AWS / "workspace.yaml")),
    ]:
        monkeypatch.setenv(name, "5432")


@pytest.mark.parametrize("path", [AWS / "dagster.yaml", LOCAL], ids=["aws", "local"])
def test_the_file_follows_the_schemas(path, tmp_path, environment):
    validate(load(path), tmp_path)


@pytest.mark.parametrize(
    "where",
    [
        (),
        ("storage", "postgres", "postgres_db"),
        ("compute_logs", "config"),
        ("run_launcher", "config"),
        ("concurrency", "runs"),
        ("concurrency", "pools"),
        ("run_monitoring",),
        ("run_retries",),
        ("retention", "sensor", "purge_after_days"),
        ("freshness",),
        ("telemetry",),
    ],
    ids=".".join,
)
def test_an_unknown_key_is_found_wherever_it_is(where, tmp_path, environment):
    config = load(AWS / "dagster.yaml")
    place = config
    for key in where:
        place = place[key]
    place["no_such_key"] = 1
    with pytest.raises(DagsterInvalidConfigError, match="no_such_key"):
        validate(config, tmp_path)


def test_a_missing_network_is_found(tmp_path, environment):
    config = load(AWS / "dagster.yaml")
    del config["run_launcher"]["config"]["subnets"]
    with pytest.raises(DagsterInvalidConfigError, match="subnets"):
        validate(config, tmp_path)


@pytest.mark.parametrize("name", ["dagster.yaml", "workspace.yaml"])
def test_the_head_of_the_file_names_every_variable_of_it_and_no_other(name):
    text = (AWS / name).read_text()
    head = text[: text.index("\n\n") if "\n\n" in text else text.index("load_from")]
    documented = set(re.findall(r"\bDAGSTER_[A-Z_]+", re.sub(r"\$\w+", "", head)))
    assert documented == set(environment_of(yaml.safe_load(text)))


def test_no_variable_stands_where_dagster_would_not_look_it_up(environment):
    """In an open section, such as networkConfiguration, Dagster takes ``{env: NAME}`` for the value."""
    config = load(AWS / "dagster.yaml")
    parts = [(_schema(config, name), config[name]["config"]) for name in PLUGINS]
    parts.append((pg_config(), config["storage"]["postgres"]))
    resolved = [process_config(schema, part).value for schema, part in parts]
    # The launcher reads this one by itself.
    assert [name for part in resolved for name in environment_of(part)] == ["DAGSTER_RUN_TASK_DEFINITION"]


def _schema(config, name):
    return class_from_code_pointer(config[name]["module"], config[name]["class"]).config_type()


def test_the_local_file_makes_an_instance_that_keeps_its_limits(tmp_path):
    with run_jobs.open_instance(tmp_path / "dagster") as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_retries_max_retries == 2
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 2
        assert not instance.telemetry_enabled
        assert isinstance(instance.run_launcher, dg.DefaultRunLauncher)
    assert (tmp_path / "dagster" / "dagster.yaml").read_bytes() == LOCAL.read_bytes()


def test_an_instance_that_is_there_keeps_its_own_file(tmp_path):
    (tmp_path / "dagster.yaml").write_text("run_retries: {enabled: false}\n")
    with run_jobs.open_instance(tmp_path) as instance:
        assert instance.run_retries_max_retries == 0


@pytest.mark.parametrize("path", [AWS / "dagster.yaml", LOCAL], ids=["aws", "local"])
def test_a_step_that_raises_is_not_retried(path):
    @dg.op
    def broken():
        raise ValueError("a bug")

    @dg.job
    def faulty():
        broken()

    with dg.instance_for_test(overrides={"run_retries": load(path)["run_retries"]}) as instance:
        done = faulty.execute_in_process(instance=instance, raise_on_error=False)
        tags = instance.get_run_by_id(done.run_id).tags
    assert tags["dagster/failure_reason"] == "STEP_FAILURE"
    assert tags["dagster/will_retry"] == "false"


def test_both_files_agree_where_the_place_makes_no_difference():
    aws, local = load(AWS / "dagster.yaml"), load(LOCAL)
    for section in ("run_retries", "retention", "freshness", "telemetry", "nux"):
        assert aws[section] == local[section]
