"""NVIDIA's unmodified Python client, all four flavours, against a real server."""

import pytest

PROGRAMS = ("triton", "triton_errors")


@pytest.mark.parametrize("flavour", ["grpc", "grpc.aio", "http", "http.aio"])
def test_case(flavour, program, case, compat_server, run_program, compat_photo):
    protocol = flavour.split(".")[0]
    outcome = run_program(program, flavour, compat_server.address(protocol), str(compat_photo))
    if case not in outcome:
        pytest.skip(f"not a case of {protocol}")
    assert outcome[case] is None, outcome[case]
