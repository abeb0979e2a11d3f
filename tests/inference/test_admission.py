import threading

import pytest

from study.inference.serving import admission
from study.inference.serving.admission import LITTLE, PLACES, Admission, Busy


def test_little_work_always_passes():
    desk = Admission()
    with desk.request(LITTLE + 1), desk.picture(LITTLE + 1, LITTLE + 1), desk.request(LITTLE), desk.picture(9, LITTLE):
        pass


def test_so_many_requests_with_much_work_are_admitted_and_the_next_is_refused_at_once():
    desk = Admission()
    held = [desk.request(LITTLE + 1) for _ in range(PLACES)]
    for place in held:
        place.__enter__()
    with pytest.raises(Busy, match=r"^busy with other large pictures\. Ask again"), desk.request(LITTLE + 1):
        pass
    held[0].__exit__(None, None, None)
    with desk.request(LITTLE + 1):
        pass


def test_a_place_is_free_again_after_a_failure():
    desk = Admission()
    for _ in range(2 * PLACES):
        with pytest.raises(ZeroDivisionError), desk.request(LITTLE + 1), desk.picture(LITTLE + 1, LITTLE + 1):
            raise ZeroDivisionError


def test_a_large_picture_waits_for_another_and_not_for_ever(monkeypatch):
    desk, done = Admission(), threading.Event()

    def second() -> None:
        with desk.picture(LITTLE + 1, LITTLE + 1):
            done.set()

    with desk.picture(LITTLE + 1, LITTLE + 1):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not done.is_set()
    waiting.join()
    assert done.is_set()
    monkeypatch.setattr(admission, "SECONDS", 0)
    with desk.picture(LITTLE + 1, LITTLE + 1), pytest.raises(Busy), desk.picture(LITTLE + 1, LITTLE + 1):
        pass


def test_pictures_of_requests_with_much_work_take_turns_and_the_others_pass():
    desk, done = Admission(), threading.Event()

    def second() -> None:
        with desk.picture(9, LITTLE + 1):
            done.set()

    with desk.picture(9, LITTLE + 1):
        waiting = threading.Thread(target=second)
        waiting.start()
        with desk.picture(9, LITTLE), desk.picture(LITTLE + 1, LITTLE + 1):
            assert not done.is_set()
    waiting.join()
    assert done.is_set()
