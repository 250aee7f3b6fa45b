"""Addresses become gRPC targets."""

import json

import pytest

from segserve.client.channel import channel_options, target_of
from segserve.client.errors import SegserveError


@pytest.mark.parametrize(
    ("addresses", "target"),
    [
        ("localhost:8001", "dns:///localhost:8001"),
        (["segserve.models:8001"], "dns:///segserve.models:8001"),
        ("10.0.0.1:8001", "dns:///10.0.0.1:8001"),
        ("[::1]:8001", "dns:///[::1]:8001"),
        ("unix:/run/segserve.sock", "unix:/run/segserve.sock"),
        ("dns://8.8.8.8/name:1", "dns://8.8.8.8/name:1"),
        (("10.0.0.1:1", "10.0.0.2:2"), "ipv4:10.0.0.1:1,10.0.0.2:2"),
        (("[::1]:1", "[fe00::2]:2"), "ipv6:[::1]:1,[fe00::2]:2"),
        (("10.0.0.1:1", "[::1]:2"), "ipv6:[::ffff:10.0.0.1]:1,[::1]:2"),
        (("localhost:1", "127.0.0.2:2"), "ipv4:127.0.0.1:1,127.0.0.2:2"),
    ],
)
def test_targets(addresses, target):
    assert target_of(addresses) == target


@pytest.mark.parametrize(
    "address", ["", "localhost", "localhost:", ":8001", "host:0", "host:70000", "::1:8001", "h:x"]
)
def test_what_is_no_address(address):
    with pytest.raises(SegserveError, match="expected host:port"):
        target_of(address)


def test_no_address_and_an_unknown_name():
    with pytest.raises(SegserveError, match="no address given"):
        target_of([])
    with pytest.raises(SegserveError, match="unknown"):
        target_of(["127.0.0.1:1", "no-such-host.invalid:1"])


def test_several_servers_are_asked_whether_they_take_calls():
    for addresses, checked in (("a:1", False), (("10.0.0.1:1", "10.0.0.2:2"), True)):
        options = dict(channel_options(target_of(addresses)))
        assert ("healthCheckConfig" in json.loads(options["grpc.service_config"])) == checked


def test_large_messages_and_round_robin():
    options = dict(channel_options())
    assert options["grpc.max_receive_message_length"] == 2**31 - 1
    assert options["grpc.max_send_message_length"] == 2**31 - 1
    assert json.loads(options["grpc.service_config"]) == {
        "loadBalancingConfig": [{"round_robin": {}}]
    }
