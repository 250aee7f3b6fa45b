"""``segserve serve``: flags become settings, bad values are refused with the flag's name."""

import argparse
import json
import logging

import pytest

from segserve.cli import serve
from segserve.cli.main import main
from segserve.settings import Settings


def parse(*arguments):
    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers(dest="command"))
    return parser.parse_args(["serve", *arguments])


def test_every_setting_is_a_flag():
    with pytest.raises(SystemExit):
        parse("--help")
    options = vars(parse())
    assert set(options) == {"command"}
    for name, value in (("exit_on_error", "true"), ("log_format", "ISO8601"), ("grpc_port", "0")):
        assert vars(parse("--" + name.replace("_", "-"), value))[name] == value
    assert len(Settings.model_fields) > 20


def test_repeated_flags_and_bare_booleans():
    options = parse("--model-repository", "/a", "--model-store", "/b", "--exit-on-error")
    assert options.model_repository == ["/a", "/b"]
    assert options.exit_on_error == "true"


def test_bad_values_end_with_code_2(capsys):
    assert serve.run(parse("--model-repository", "/m", "--grpc-port", "x")) == 2
    assert "--grpc-port: got 'x'" in capsys.readouterr().err
    assert serve.run(parse()) == 2
    assert "--model-repository is required" in capsys.readouterr().err


def test_the_table_of_flags_is_fresh(repo_root):
    written = (repo_root / "docs" / "flags.md").read_text()
    assert written == serve.flags_table(), "run: python -m segserve.cli.serve > docs/flags.md"


@pytest.mark.parametrize("flag", ["--strict-model-config=true", "--strict-model-config"])
def test_a_flag_of_tritons_that_another_one_replaces(capsys, flag):
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--model-repository", "/m", flag])
    assert ended.value.code == 2
    reason = capsys.readouterr().err.splitlines()[-1]
    assert reason.endswith("give --disable-auto-complete-config instead")


@pytest.mark.parametrize(
    ("flag", "instead"),
    [
        ("--grpc-infer-thread-count=4", "--cpu-threads says how many cores the server uses"),
        ("--backend-config=onnxruntime,default-max-batch-size=4", "config.pbtxt"),
        ("--pinned-memory-pool-byte-size=1", "no such pool"),
        ("--cache-config=local,size=1", "no response cache"),
        ("--rate-limit=execution_count", "instance_group"),
        ("--trace-rate=1", "give --otlp-endpoint instead"),
        ("--grpc-use-ssl", "TLS in front"),
        ("--log-info=true", "always logged"),
    ],
)
def test_a_flag_of_tritons_that_is_none_here(capsys, flag, instead):
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--model-repository", "/m", flag])
    assert ended.value.code == 2
    reason = capsys.readouterr().err.splitlines()[-1]
    assert f"{flag.split('=')[0]} is a flag of Triton's: " in reason
    assert instead in reason
    assert "did you mean" not in reason


def test_a_bad_variable_is_named(monkeypatch, capsys):
    monkeypatch.setenv("SEGSERVE_DRAIN_DELAY", "x")
    assert serve.run(parse("--model-repository", "/m")) == 2
    told = capsys.readouterr().err
    assert told.startswith("segserve serve: SEGSERVE_DRAIN_DELAY (--drain-delay): got 'x': ")


def test_a_misspelt_variable_is_told(monkeypatch, capsys):
    monkeypatch.setenv("SEGSERVE_GRPC_PROT", "1")
    monkeypatch.setattr("segserve.app.serve", lambda settings: 0)
    kept = logging.getLogger().handlers[:]
    try:
        assert serve.run(parse("--model-repository", "/m")) == 0
    finally:
        logging.getLogger().handlers[:] = kept
    (line,) = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["level"]) == ("variable_not_known", "WARNING")
    assert (line["variable"], line["did_you_mean"]) == ("SEGSERVE_GRPC_PROT", "SEGSERVE_GRPC_PORT")
