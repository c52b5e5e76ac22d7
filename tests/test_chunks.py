"""Work shared out to threads: every thread alone, and all set back afterwards."""

import multiprocessing
import os
import threading
import time

import pytest
import torch

from meta_lib.machinery import chunks


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    """Let torch have so many threads, and give it back what it had."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_come_in_order_and_the_threads_are_set_back(threads):
    assert chunks.in_threads(lambda item: item**2, range(7)) == [0, 1, 4, 9, 16, 25, 36]
    assert torch.get_num_threads() == threads


def test_as_many_work_at_once_as_torch_has_threads(threads):
    """Each waits until all are there, so fewer workers would never get on."""
    together, seen = threading.Barrier(threads, timeout=20), set()

    def work(_):
        together.wait()
        seen.add(threading.get_ident())
        return torch.get_num_threads()

    alone = chunks.in_threads(work, range(threads))
    assert len(seen) == threads
    assert alone == [1] * threads, "each has torch's threads for itself"
    assert (threading.get_ident() in seen) == (threads == 1)


def test_no_more_work_at_once_than_torch_has_threads(threads):
    busy, most, lock = 0, 0, threading.Lock()

    def work(_):
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.01)
        with lock:
            busy -= 1

    chunks.in_threads(work, range(12))
    assert most <= threads


def test_a_worker_that_fails_sets_the_threads_back(threads):
    with pytest.raises(ZeroDivisionError):
        chunks.in_threads(lambda item: 1 / item, [1, 0])
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("kind", "expected"), [("cpu", 4), ("cuda", None)])
def test_the_best_chunk_is_the_devices(monkeypatch, kind, expected):
    monkeypatch.setattr(chunks, "device", lambda: torch.device(kind))
    assert chunks.best_chunk() == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(threads):
    """With its parent's it would wait for ever: those stay behind."""
    chunks.in_threads(abs, range(threads))
    child = multiprocessing.get_context("fork").Process(
        target=chunks.in_threads, args=(abs, range(threads))
    )
    child.start()
    child.join(timeout=30)
    child.kill()
    assert child.exitcode == 0
