"""The bound on images that wait to be decoded."""

import pytest

from segserve.core.errors import ErrorKind, Overloaded
from segserve.execution.waiting_room import RoomLimits, WaitingRoom


def test_full_by_number_or_by_bytes_and_places_come_back():
    room = WaitingRoom(RoomLimits(max_images=2, max_bytes=100))
    with room.enter(60, bulk=False) as place:
        with pytest.raises(Overloaded, match=r"need 60 bytes and this one 50.*--cpu-queue-bytes"):
            room.enter(50, bulk=False)
        with room.enter(40, bulk=False):
            with pytest.raises(Overloaded, match=r"2 images wait.*--cpu-queue-size") as caught:
                room.enter(0, bulk=False)
            assert caught.value.kind is ErrorKind.OVERLOADED
            assert caught.value.retry_after_s
        assert (room.images, room.bytes_in_use) == (1, 60)
        place.release()
        assert (room.images, room.bytes_in_use) == (0, 0)
    assert (room.images, room.bytes_in_use) == (0, 0)


def test_bulk_images_leave_a_quarter_to_others():
    room = WaitingRoom(RoomLimits(max_images=4, max_bytes=100))
    with room.enter(10, bulk=True), room.enter(10, bulk=True):
        with pytest.raises(Overloaded, match="for bulk work all may be 75"):
            room.enter(60, bulk=True)
        with room.enter(10, bulk=True):
            with pytest.raises(Overloaded, match="for bulk work all may be 3:"):
                room.enter(1, bulk=True)
            with room.enter(60, bulk=False):
                pass


@pytest.mark.parametrize("bulk", [True, False])
def test_an_image_that_is_alone_has_room(bulk):
    room = WaitingRoom(RoomLimits(max_images=1, max_bytes=10))
    with room.enter(1000, bulk=bulk):
        assert room.bytes_in_use == 1000


def test_what_fails_inside_gives_its_place_back():
    room = WaitingRoom()
    with pytest.raises(ValueError, match="x"), room.enter(5, bulk=False):
        raise ValueError("x")
    assert room.images == 0
