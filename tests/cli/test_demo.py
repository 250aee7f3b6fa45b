"""The server of ``make demo``; the rest of the demo runs in CI."""

import pytest

from segserve.cli import demo

SERVER = """#!/bin/sh
trap 'echo ending >&2; exit CODE' TERM
echo '{"event": "listening", "protocol": "grpc", "port": 77}' >&2
echo '{"event": "LAST"}' >&2
while :; do sleep 0.05; done
"""


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Make the demo start a server that ends with a code."""

    def make(code, last="ready"):
        program = tmp_path / "server"
        program.write_text(SERVER.replace("CODE", str(code)).replace("LAST", last))
        program.chmod(0o755)
        monkeypatch.setattr("sys.executable", str(program))
        return demo.running_server(tmp_path, tmp_path / "log", "m")

    return make


def test_a_server_that_stops_cleanly(serve, tmp_path):
    with serve(0) as port:
        assert port == 77
    assert (tmp_path / "log").read_text().endswith("ending\n")


def test_a_server_that_does_not_is_told_of(serve, tmp_path):
    with pytest.raises(RuntimeError, match=f"ended with 7; its log is {tmp_path}/log"), serve(7):
        pass


def test_what_failed_inside_is_what_is_raised(serve):
    with pytest.raises(ValueError, match="inside"), serve(7):
        raise ValueError("inside")


def test_a_server_that_is_never_ready(serve):
    with pytest.raises(RuntimeError, match="did not become ready"), serve(7, "server_failed"):
        pass
