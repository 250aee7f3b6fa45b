"""Loading on request is refused in the words that Triton's users know."""

PROGRAMS = ("triton_control",)


def test_case(program, case, polling_server, run_program):
    addresses = [polling_server.address(protocol) for protocol in ("grpc", "http")]
    outcome = run_program(program, *addresses)
    assert outcome[case] is None, outcome[case]
