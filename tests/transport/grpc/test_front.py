"""What both fronts have in common; what they do is tested through the server, with each."""

from segserve.transport.grpc.front import GrpcOptions
from segserve.transport.listening import Listen


def test_where_the_server_listens():
    assert GrpcOptions(port=8001).listen == Listen("127.0.0.1", 8001, "gRPC", "--grpc-port")
