"""Settings: flags' values, the environment, and refusals in plain words."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from segserve.settings import ControlMode, Settings, explain


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
        ({"model_repository": "/m", "model_control_mode": "pol"}, "'none', 'poll' or 'explicit'"),
    ],
)
def test_bad_values_name_the_flag(given, text):
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    assert text in explain(caught.value)
