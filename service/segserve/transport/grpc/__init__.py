"""segserve.transport.grpc."""
