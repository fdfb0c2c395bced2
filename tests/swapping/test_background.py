"""Threads beside this one: order, errors and early ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from mfs_lib.errors import InputError
from mfs_lib.swapping.background import BackgroundSink, background


def test_items_come_in_order_and_go_in_order() -> None:
    done: list[int] = []
    with background(range(50)) as items, BackgroundSink(done.append) as sink:
        for item in items:
            sink.put(item * 2)
    assert done == [2 * k for k in range(50)]


def test_an_error_of_the_source_comes_after_its_items() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise InputError("broken")

    with background(source()) as items:
        assert next(items) == 1
        with pytest.raises(InputError, match="broken"):
            next(items)


def test_an_error_of_the_sink_is_raised() -> None:
    def refuse(item: int) -> None:
        raise InputError(f"no {item}")

    def use() -> None:
        with BackgroundSink(refuse) as sink:
            for item in range(100):
                sink.put(item)

    with pytest.raises(InputError, match="no 0"):
        use()


def test_leaving_early_ends_the_threads() -> None:
    before = threading.active_count()

    def slow(item: int) -> None:
        time.sleep(0.01)

    def use() -> None:
        with (
            background(iter(int, 1)) as items,
            BackgroundSink(slow) as sink,
        ):
            for index, item in enumerate(items):
                sink.put(item)
                if index == 5:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert threading.active_count() == before
