"""grpcio-health-checking and grpcio-reflection against a real server."""

PROGRAMS = ("standard_grpc",)


def test_case(program, case, compat_server, run_program):
    outcome = run_program(program, compat_server.address("grpc"))
    assert outcome[case] is None, outcome[case]
