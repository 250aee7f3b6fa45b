"""A failure carries what goes to the caller."""

from segserve.transport.grpc.methods import RpcFailed


def test_failure():
    failure = RpcFailed("NOT_FOUND", "nothing here", (("a", "b"),))
    assert (failure.status, failure.text, failure.trailers) == (
        "NOT_FOUND",
        "nothing here",
        (("a", "b"),),
    )
    assert str(failure) == "nothing here"
    assert RpcFailed("OK", "").trailers == ()
