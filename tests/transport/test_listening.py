"""A port that is taken, one that is free, and messages about either kind of address."""

import socket

import pytest

from segserve.core.errors import LoadFailed
from segserve.transport.listening import Listen, bind, cannot_listen


def test_a_free_port():
    with bind(Listen("127.0.0.1", 0, "tests", "--port")) as bound:
        with socket.create_connection(bound.getsockname()):
            pass
        taken = Listen("127.0.0.1", bound.getsockname()[1], "tests", "--port-flag")
        with pytest.raises(LoadFailed, match=r"cannot listen for tests on 127.0.0.1.*--port-flag"):
            bind(taken)


def test_a_port_that_is_shared():
    with bind(Listen("127.0.0.1", 0, "tests", "--port"), reuse_port=True) as one:
        again = Listen("127.0.0.1", one.getsockname()[1], "tests", "--port")
        with bind(again, reuse_port=True) as other:
            assert other.getsockname() == one.getsockname()


def test_an_ipv6_address_is_told_in_brackets():
    text = str(cannot_listen(Listen("::1", 8001, "tests", "--port"), "taken"))
    assert "[::1]:8001: taken" in text
