"""The permit at the door."""

import pytest

from segserve.core.errors import Overloaded, TooLarge
from segserve.scheduling.admission import Admission


def test_bytes_and_requests_are_given_back_whatever_happens():
    admission = Admission(max_bytes=100, max_requests=2)
    inside = []

    def fail():
        with admission.permit(60):
            inside.append((admission.bytes_in_use, admission.requests))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert inside == [(60, 1)]
    assert (admission.bytes_in_use, admission.requests) == (0, 0)


def test_full_by_bytes_or_by_number():
    admission = Admission(max_bytes=100, max_requests=2)
    with admission.permit(60):
        with pytest.raises(Overloaded, match="hold 60 of 100 bytes and this one needs 50"):
            admission.permit(50).__enter__()
        with admission.permit(10), pytest.raises(Overloaded, match="2 requests are in the server"):
            admission.permit(1).__enter__()
    with admission.permit(100):
        pass


def test_what_can_never_fit_is_said_to_be_too_large():
    with pytest.raises(TooLarge, match="--max-pending-bytes"):
        Admission(max_bytes=100, max_requests=2).permit(101).__enter__()


def test_a_permit_is_given_back_once():
    admission = Admission(max_bytes=100, max_requests=2)
    permit = admission.permit(60)
    assert admission.bytes_in_use == 60
    with permit:
        permit.release()
        assert admission.bytes_in_use == 0
    permit.release()
    assert (admission.bytes_in_use, admission.requests) == (0, 0)


def test_bulk_requests_leave_room_for_others():
    admission = Admission(max_bytes=100, max_requests=4)
    with admission.permit(100, bulk=True):  # alone
        pass
    with admission.permit(60, bulk=True):
        with pytest.raises(Overloaded, match="60 of 75 bytes and this one needs 20"):
            admission.permit(20, bulk=True)
        with admission.permit(20):
            pass
        with admission.permit(1, bulk=True), admission.permit(1, bulk=True):
            with pytest.raises(Overloaded, match="3 requests are in the server"):
                admission.permit(1, bulk=True)
            with admission.permit(1):
                pass
