"""Whole pieces of work side by side are what they are one after the other."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import torch

from separation.workers.threads import map_parts, map_threads


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_results_have_the_order_of_the_items() -> None:
    assert map_threads(lambda item: item * item, range(20)) == [item * item for item in range(20)]


@pytest.mark.parametrize("length", [1, 7, 8, 1000])
def test_parts_cover_the_range_and_do_not_depend_on_the_number_of_cores(length: int, two_threads: None) -> None:
    parts = map_parts(lambda first, last: range(first, last), length)
    assert [number for part in parts for number in part] == list(range(length))
    assert len(parts) == min(length, 8)
    torch.set_num_threads(1)
    assert map_parts(lambda first, last: range(first, last), length) == parts


@pytest.mark.usefixtures("two_threads")
def test_items_run_concurrently() -> None:
    both_there = threading.Barrier(2, timeout=60)
    map_threads(lambda item: both_there.wait(), range(2))


@pytest.mark.usefixtures("two_threads")
def test_workers_use_one_core_each_and_later_work_uses_all() -> None:
    assert map_threads(lambda item: torch.get_num_threads(), range(4)) == [1, 1, 1, 1]
    seen: list[int] = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert [*seen, torch.get_num_threads()] == [2, 2]


@pytest.mark.usefixtures("two_threads")
def test_nested_work_runs_in_the_same_thread() -> None:
    nested = map_threads(lambda item: map_threads(lambda inner: (item, inner), range(3)), range(3))
    assert nested == [[(item, inner) for inner in range(3)] for item in range(3)]


@pytest.mark.usefixtures("two_threads")
def test_gradients_are_disabled_and_errors_are_raised() -> None:
    weight = torch.ones(3, requires_grad=True)
    assert not any(found.requires_grad for found in map_threads(lambda item: weight * item, range(2)))

    def fail(item: int) -> None:
        raise ValueError(f"no {item}")

    with pytest.raises(ValueError, match="no 0"):
        map_threads(fail, range(2))


#: The GNU C library's list of its heaps, after four threads have needed memory at the same time, in each of two forks.
HEAPS = """
import ctypes, os, threading
from separation.workers.threads import limit_malloc_arenas
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fdopen.restype = ctypes.c_void_p
if os.fork():
    os.wait()
    print("many", flush=True)
else:
    limit_malloc_arenas()
all_there = threading.Barrier(4)
def work():
    all_there.wait()
    libc.malloc(5000)
    all_there.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not the GNU C library")
def test_threads_share_one_malloc_arena() -> None:
    done = subprocess.run([sys.executable, "-c", HEAPS], capture_output=True, text=True, check=True)
    limited, unlimited = done.stdout.split("many\n")
    assert limited.count("<heap nr=") == 1
    assert unlimited.count("<heap nr=") > 1
