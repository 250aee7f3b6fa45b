"""A permit comes back exactly once."""

import pytest

from segserve.execution.permit import Permit


def test_given_back_once() -> None:
    given: list[int] = []
    permit = Permit(7, given.append)
    assert given == []
    permit.release()
    permit.release()
    assert given == [7]


def test_given_back_by_leaving_whatever_happens() -> None:
    given: list[int] = []

    def use() -> None:
        with Permit(7, given.append):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    with Permit(9, given.append) as permit:
        permit.release()
    assert given == [7, 9]
