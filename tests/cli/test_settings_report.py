"""What is wrong with settings, in plain words."""

import pytest
from pydantic import ValidationError

from segserve.cli.settings_report import explain
from segserve.settings import Settings


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


@pytest.mark.parametrize("mode", ["none", "poll"])
def test_models_are_named_in_mode_explicit_alone(mode):
    given = {"model_repository": "/m", "model_control_mode": mode, "load_model": "a,b"}
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    assert explain(caught.value, given) == (
        f"--load-model: got 'a,b': expected --model-control-mode=explicit beside it, got {mode}, "
        f"which loads every model; set the mode or leave it out"
    )
    assert Settings(**{**given, "model_control_mode": "explicit"}).load_model == ("a", "b")


def test_a_wrong_mode_is_one_error():
    given = {"model_repository": "/m", "model_control_mode": "explict", "load_model": "a"}
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    assert "--load-model" not in explain(caught.value, given)


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
