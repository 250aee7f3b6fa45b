"""What both fronts have in common; what they do is tested through the server, with each."""

from segserve.transport.grpc.front import cannot_listen


def test_a_port_that_cannot_be_had():
    text = str(cannot_listen("::1", 8001, "taken"))
    assert "[::1]:8001: taken" in text
    assert "--grpc-port" in text
