"""Pieces of work on threads: in order, each with one thread of every library,
and everything as before afterwards.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest
import threadpoolctl
import torch

from genbench._util.thread_pool import each


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def pools():
    return [
        pool["num_threads"]
        for pool in threadpoolctl.threadpool_info()
        if pool["user_api"] == "blas"
    ]


def test_results_come_in_the_order_of_the_pieces():
    barrier = threading.Barrier(2, timeout=30)  # neither of two pieces ends before both have begun

    def work(piece):
        barrier.wait()
        return piece, threading.get_ident()

    found = list(each(work, range(6)))
    assert [piece for piece, _ in found] == list(range(6))
    assert len({thread for _, thread in found}) == 2


def test_a_piece_has_one_thread_of_each_library_and_they_are_given_back():
    np.ones((2, 2)) @ np.ones((2, 2))
    before = pools()
    assert all(count == 1 for inside in each(lambda _: pools(), range(3)) for count in inside)
    assert pools() == before
    assert torch.get_num_threads() == 2


def test_an_error_of_a_piece_is_the_callers_and_the_rest_is_left():
    done = []

    def work(piece):
        if piece == 3:
            raise ValueError("three")
        done.append(piece)
        return piece

    with pytest.raises(ValueError, match="three"):
        list(each(work, range(1000)))
    assert len(done) < 1000
    assert torch.get_num_threads() == 2
