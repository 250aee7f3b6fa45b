"""Settings: flags' values, the environment, and refusals in plain words."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from segserve.settings import ControlMode, Settings, explain, misspelt


def test_defaults_are_tritons_ports():
    settings = Settings(model_repository="/models")
    ports = (settings.http_port, settings.grpc_port, settings.metrics_port)
    assert ports == (8000, 8001, 8002)
    assert settings.model_repository == (Path("/models"),)
    assert settings.exit_on_error is False


def test_the_environment_sets_every_field(monkeypatch):
    monkeypatch.setenv("SEGSERVE_MODEL_REPOSITORY", "/a:/b")
    monkeypatch.setenv("SEGSERVE_GRPC_PORT", "9000")
    monkeypatch.setenv("SEGSERVE_MODEL_CONTROL_MODE", "poll")
    monkeypatch.setenv("SEGSERVE_EXIT_ON_ERROR", "false")
    settings = Settings()
    assert settings.model_repository == (Path("/a"), Path("/b"))
    assert settings.grpc_port == 9000
    assert settings.model_control_mode is ControlMode.POLL
    assert settings.exit_on_error is False


def test_a_flag_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("SEGSERVE_GRPC_PORT", "9000")
    assert Settings(model_repository="/m", grpc_port="9001").grpc_port == 9001


def test_variables_that_are_no_settings_are_left_alone(monkeypatch):
    """Kubernetes sets such for a Service by the name of segserve."""
    monkeypatch.setenv("SEGSERVE_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("SEGSERVE_PORT", "tcp://10.0.0.1:8001")
    assert Settings(model_repository="/m").grpc_port == 8001


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "--model-repository is required"),
        ({"model_repository": "/m", "grpc_port": "70000"}, "--grpc-port: got '70000'"),
        ({"model_repository": "/m", "cpu_threads": "100000"}, "--cpu-threads: got '100000'"),
        ({"model_repository": "/m", "log_verbose": "-1"}, "--log-verbose: got '-1'"),
        ({"model_repository": "/m", "model_control_mode": "pol"}, "'none', 'poll' or 'explicit'"),
        ({"model_repository": "/m", "model_control_mode": "pol"}, "did you mean poll?"),
        ({"model_repository": "/m", "log_format": "iso8601"}, "did you mean ISO8601?"),
        ({"model_repository": "/m", "exit_on_error": "ture"}, "did you mean true?"),
    ],
)
def test_bad_values_name_the_flag(given, text):
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    assert text in explain(caught.value, given)


@pytest.mark.parametrize("name", ["drain_delay", "exit_timeout_secs", "repository_poll_secs"])
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "Infinity"])
def test_seconds_are_finite(name, value):
    given = {"model_repository": "/m", name: value}
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    assert f"got '{value}': Input should be a finite number" in explain(caught.value, given)


@pytest.mark.parametrize(
    "value",
    [
        "foo",
        "localhost:4318",
        "ftp://collector",
        "http://",
        "http://:4318",
        "http://collector:99999",
        "http://[::1",
        " http://collector",
    ],
)
def test_a_collector_is_a_web_address(value):
    given = {"model_repository": "/m", "otlp_endpoint": value}
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    told = explain(caught.value, given)
    assert told.startswith(f"--otlp-endpoint: got '{value}': expected http:// or https:// and a")


@pytest.mark.parametrize(
    "value", ["", "http://collector:4318", "https://user@collector/v1/traces", "http://[::1]:4318"]
)
def test_a_collector_or_none(value):
    assert Settings(model_repository="/m", otlp_endpoint=value).otlp_endpoint == value


@pytest.mark.parametrize(
    ("value", "level"), [("0", 0), ("1", 1), ("9", 9), ("true", 1), ("False", 0)]
)
def test_levels_of_the_log_are_tritons(value, level):
    assert Settings(model_repository="/m", log_verbose=value).log_verbose == level


def test_something_answers_requests():
    given = {"model_repository": "/m", "allow_grpc": "false", "allow_http": "false"}
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    assert explain(caught.value, given) == (
        "--allow-http: got 'false': expected true where --allow-grpc is false, as nothing would "
        "answer requests; leave one of the two on"
    )
    for name in ("allow_grpc", "allow_http"):
        assert getattr(Settings(**{**given, name: "true"}), name)


def test_a_bad_value_of_the_environment_names_the_variable(monkeypatch):
    monkeypatch.setenv("SEGSERVE_DRAIN_DELAY", "x")
    monkeypatch.setenv("SEGSERVE_GRPC_PORT", "8001")
    given = {"model_repository": "/m", "grpc_port": "y"}
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    port, delay = explain(caught.value, given).split("; ")
    assert port.startswith("--grpc-port: got 'y': ")
    assert delay.startswith("SEGSERVE_DRAIN_DELAY (--drain-delay): got 'x': ")


def test_a_port_that_kubernetes_has_set(monkeypatch):
    monkeypatch.setenv("SEGSERVE_GRPC_PORT", "tcp://10.0.0.1:8001")
    with pytest.raises(ValidationError) as caught:
        Settings(model_repository="/m")
    told = explain(caught.value, ())
    assert "Kubernetes sets SEGSERVE_GRPC_PORT for a Service named segserve-grpc" in told
    assert "enableServiceLinks: false" in told


def test_misspelt_variables(monkeypatch):
    given = {
        "SEGSERVE_GRPC_PROT": "1",
        "SEGSERVE_MODEL_REPOSITRY": "/m",
        "SEGSERVE_HTTP_PORT": "8000",
        "SEGSERVE_TEAM": "blue",
        "OTHER_GRPC_PORTS": "1",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert misspelt() == {
        "SEGSERVE_GRPC_PROT": "SEGSERVE_GRPC_PORT",
        "SEGSERVE_MODEL_REPOSITRY": "SEGSERVE_MODEL_REPOSITORY",
    }


@pytest.mark.parametrize("service", ["SEGSERVE", "SEGSERVE_GRPC2", "SEGSERVE_METRIC"])
def test_variables_of_kubernetes_are_not_misspelt(monkeypatch, service):
    link = "tcp://10.0.0.1:8001"
    names = {
        "PORT": link,
        "SERVICE_HOST": "10.0.0.1",
        "SERVICE_PORT": "8001",
        "SERVICE_PORT_GRPC": "8001",
        "PORT_8001_TCP": link,
        "PORT_8001_TCP_ADDR": "10.0.0.1",
        "PORT_8001_TCP_PORT": "8001",
        "PORT_8001_TCP_PROTO": "tcp",
    }
    for name, value in names.items():
        monkeypatch.setenv(f"{service}_{name}", value)
    assert misspelt() == {}
