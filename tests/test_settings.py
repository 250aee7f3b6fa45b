"""Settings: flags' values, the environment, and refusals in plain words."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from segserve.settings import ControlMode, Settings, misspelt


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
    "value", ["", "http://collector:4318", "https://user@collector/v1/traces", "http://[::1]:4318"]
)
def test_a_collector_or_none(value):
    assert Settings(model_repository="/m", otlp_endpoint=value).otlp_endpoint == value


@pytest.mark.parametrize(
    ("value", "level"), [("0", 0), ("1", 1), ("9", 9), ("true", 1), ("False", 0)]
)
def test_levels_of_the_log_are_tritons(value, level):
    assert Settings(model_repository="/m", log_verbose=value).log_verbose == level


def test_forms_of_latencies(monkeypatch):
    given = ("summary_latencies=true", "summary_quantiles=0.5:0.05,0.9:0.01")
    assert Settings(model_repository="/m", metrics_config=given).metrics_config == given
    monkeypatch.setenv("SEGSERVE_METRICS_CONFIG", ";".join(given))
    assert Settings(model_repository="/m").metrics_config == given
    both = (";".join(given),)
    assert Settings(model_repository="/m", metrics_config=both).metrics_config == given
    monkeypatch.setenv("SEGSERVE_METRICS_CONFIG", "")
    assert Settings(model_repository="/m").metrics_config == ()
    with pytest.raises(ValidationError, match=r"did you mean summary_latencies\?"):
        Settings(model_repository="/m", metrics_config=("summary_latency=true",))


@pytest.mark.parametrize("given", ["a,b", ("a,b",), ("a", "b"), ["a", "b,"]])
def test_models_to_load(given):
    mode = ControlMode.EXPLICIT
    settings = Settings(model_repository="/m", model_control_mode=mode, load_model=given)
    assert settings.load_model == ("a", "b")
    with pytest.raises(ValidationError):
        Settings(model_repository="/m", model_control_mode=mode, load_model=3)


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
