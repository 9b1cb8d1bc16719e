"""The order in which the batches of a GPU are mixed, handed over and used, rehearsed on a CPU.

Stand-ins for CUDA's streams and events write down what is asked of them; a test decides when a step is done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from separation.training import loader
from separation.training.loader import BatchLoader

CUDA = torch.device("cuda")
STEPS = 6


class Rehearsal:
    """A GPU that only writes down its calls."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.streams = threading.local()
        self.training = Stream(self, "training")
        self.mixing = Stream(self, "mixing")
        self.work: Callable[[], None] = lambda: None  # what the host does to mix a batch

    @property
    def current(self) -> Stream:
        stream: Stream = getattr(self.streams, "current", self.training)
        return stream

    @contextmanager
    def within(self, stream: Stream) -> Iterator[None]:
        self.streams.current = stream
        yield
        self.streams.current = self.training

    def mix(self, draw: Any) -> Any:
        number = sum(line.startswith("mix ") for line in self.log)
        self.work()
        self.log.append(f"mix {number} on {self.current.name}")
        return Samples(self, number)


class Stream:
    def __init__(self, gpu: Rehearsal, name: str) -> None:
        self.gpu, self.name, self.events = gpu, name, list[Event]()

    def record_event(self) -> Event:
        event = Event(self.gpu, f"{self.name} event {len(self.events)}")
        self.events.append(event)
        self.gpu.log.append(f"record {event.name}")
        return event

    def wait_event(self, event: Event) -> None:
        self.gpu.log.append(f"{self.name} waits for {event.name}")


class Event:
    def __init__(self, gpu: Rehearsal, name: str) -> None:
        self.gpu, self.name, self.done = gpu, name, threading.Event()

    def synchronize(self) -> None:
        self.gpu.log.append(f"host waits for {self.name}")
        assert self.done.wait(60), "the step is never done"


class Samples:
    def __init__(self, gpu: Rehearsal, number: int) -> None:
        self.gpu, self.number = gpu, number

    def record_stream(self, stream: Stream) -> None:
        self.gpu.log.append(f"batch {self.number} is held for {stream.name}")


class Sampler:
    def __init__(self, gpu: Rehearsal) -> None:
        self.batch = gpu.mix

    def draw(self, size: int, generator: torch.Generator) -> None:
        """Nothing is drawn: the batches are numbered."""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    rehearsal = Rehearsal()
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: rehearsal.mixing)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: rehearsal.training)
    monkeypatch.setattr(torch.cuda, "stream", rehearsal.within)
    monkeypatch.setattr(loader, "to_device", lambda samples, device: samples)
    return rehearsal


def batches(gpu: Rehearsal) -> BatchLoader:
    sampler: Any = Sampler(gpu)
    return BatchLoader(sampler, range(STEPS), size=1, device=CUDA)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def train(gpu: Rehearsal, *, lag: int = 0) -> list[str]:
    """Take all batches; a step is done when `lag` more have been launched. Return what was asked of the GPU."""
    with batches(gpu) as taken:
        for step in range(STEPS):
            used: Any = next(taken)
            assert used.number == step
            gpu.log.append(f"step {step}")
            if step >= lag:
                gpu.training.events[step - lag].done.set()
    return gpu.log


def test_a_batch_is_mixed_on_its_own_stream_and_awaited_and_held_before_its_step(gpu: Rehearsal) -> None:
    log = train(gpu)
    for number in range(STEPS):
        order = [
            f"mix {number} on mixing",
            f"record mixing event {number}",
            f"training waits for mixing event {number}",
            f"batch {number} is held for training",
            f"step {number}",
        ]
        assert sorted(order, key=log.index) == order


def test_a_batch_is_mixed_after_the_third_step_before_its_own(gpu: Rehearsal) -> None:
    """Event k is recorded when batch k is asked for, which is after the launch of step k - 1."""
    log = train(gpu, lag=1)
    assert log.index("record training event 2") > log.index("step 1")
    for number in range(2, STEPS):
        order = [f"record training event {number - 2}", f"host waits for training event {number - 2}"]
        order.append(f"mix {number} on mixing")
        assert sorted(order, key=log.index) == order
    waits = [line for line in log if line.startswith("host waits")]
    assert len(waits) == STEPS - 2, "the first two batches wait for no step, the others for one each"


def test_no_batch_is_mixed_before_that_step_is_done(gpu: Rehearsal) -> None:
    with batches(gpu) as taken:
        next(taken)
        wait_for(lambda: "host waits for training event 0" in gpu.log)
        assert "mix 2 on mixing" not in gpu.log
        next(taken)  # was mixed before
        gpu.training.events[0].done.set()
        wait_for(lambda: "mix 2 on mixing" in gpu.log)
        wait_for(lambda: "host waits for training event 1" in gpu.log)
        assert "mix 3 on mixing" not in gpu.log
        gpu.training.events[1].done.set()


def test_the_training_thread_never_waits_for_the_gpu(gpu: Rehearsal) -> None:
    """Only the loader's thread does: a wait in the training thread would keep it from launching the next step."""
    waiting: list[str] = []
    synchronize = Event.synchronize

    def noted(event: Event) -> None:
        waiting.append(threading.current_thread().name)
        synchronize(event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Event, "synchronize", noted)
        train(gpu)
    assert waiting and all(name.startswith("batches") for name in waiting)


class Clock:
    """A clock that advances only when a test sets it, and notes when the training thread reads it: for a batch."""

    def __init__(self) -> None:
        self.now, self.asked = 0.0, threading.Event()

    def monotonic(self) -> float:
        now = self.now
        if not threading.current_thread().name.startswith("batches"):
            self.asked.set()
        return now


@pytest.mark.parametrize("slow", ["step", "mixing"])
def test_only_the_wait_for_an_earlier_step_is_reported_as_such(
    gpu: Rehearsal, slow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(loader, "time", clock)
    with batches(gpu) as taken:
        next(taken)
        assert taken.waited_for_step == 0
        next(taken)
        assert taken.waited_for_step == 0, "the first two batches wait for no step"
        clock.asked.clear()
        first = gpu.training.events[0]

        def spend() -> None:
            assert clock.asked.wait(60), "the next batch is never asked for"
            clock.now += 3

        def end_step() -> None:
            spend()
            first.done.set()

        if slow == "mixing":
            gpu.work = spend
            first.done.set()
        else:
            threading.Thread(target=end_step).start()
        next(taken)
        assert clock.now == 3
        assert taken.waited_for_step == (3 if slow == "step" else 0)
        gpu.training.events[1].done.set()
        gpu.training.events[2].done.set()
