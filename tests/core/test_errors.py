"""The tree of errors: every kind has a class, every class a kind."""

from segserve.core import errors


def subclasses(cls):
    return {cls, *(s for c in cls.__subclasses__() for s in subclasses(c))}


def test_every_kind_is_raised_by_some_class():
    kinds = {cls.kind for cls in subclasses(errors.ServiceError)}
    assert kinds == set(errors.ErrorKind)


def test_message_and_retry_hint():
    error = errors.Overloaded("full", retry_after_s=0.5)
    assert (str(error), error.message, error.retry_after_s) == ("full", "full", 0.5)
    assert error.kind is errors.ErrorKind.OVERLOADED
    assert isinstance(error, errors.Unavailable)
