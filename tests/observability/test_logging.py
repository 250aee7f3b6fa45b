"""Log lines: JSON with the event and its fields, or a plain line."""

import json
import logging

import pytest

from segserve.observability.logging import setup_logging


@pytest.fixture(autouse=True)
def _restore():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_lines_carry_event_and_fields(capsys):
    setup_logging("json", verbose=False)
    logging.getLogger("segserve.x").info("model_ready", extra={"model": "m", "version": 2})
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["model"], line["version"]) == (
        "model_ready",
        "INFO",
        "m",
        2,
    )
    assert "time" in line


def test_requests_are_logged_only_when_verbose(capsys):
    setup_logging("json", verbose=False)
    logging.getLogger("segserve.x").debug("request_done")
    assert capsys.readouterr().err == ""
    setup_logging("json", verbose=True)
    logging.getLogger("segserve.x").debug("request_done")
    assert "request_done" in capsys.readouterr().err


def test_plain_lines(capsys):
    setup_logging("default", verbose=False)
    logging.getLogger("segserve.x").warning("request_failed", extra={"reason": "OTHER"})
    line = capsys.readouterr().err
    assert line.startswith("W")
    assert line.rstrip().endswith("request_failed reason=OTHER")
    hostile = {"error": "no\nI1121 06:14:04.123456 ready"}
    logging.getLogger("segserve.x").warning("request_failed", extra=hostile)
    assert capsys.readouterr().err.count("\n") == 1
    setup_logging("ISO8601", verbose=False)
    logging.getLogger("segserve.x").warning("request_failed")
    assert capsys.readouterr().err[1:5].isdigit()
