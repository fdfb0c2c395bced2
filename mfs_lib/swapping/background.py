"""Work in threads beside this one: an iterator that runs ahead, and a sink that works behind.

Both hold few items, pass errors on, and stop when this thread leaves them early, by an error or Ctrl-C.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")

_HELD = 1
_PATIENCE = 0.05  # seconds between looks at whether to stop


class _End:
    """After the last item: the error that ended the items, if one did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def _put(items: queue.Queue[T], item: T, stop: threading.Event) -> None:
    """Wait for room, unless asked to stop."""
    while not stop.is_set():
        try:
            items.put(item, timeout=_PATIENCE)
        except queue.Full:
            continue
        return


@contextmanager
def background(source: Iterable[T], *, held: int = _HELD) -> Iterator[Iterator[T]]:
    """The items of `source`, made ahead by another thread, at most `held` of them waiting.

    An error in `source` is raised where the items are read, after those before it.
    """
    items: queue.Queue[T | _End] = queue.Queue(held)
    stop = threading.Event()

    def run() -> None:
        error: BaseException | None = None
        try:
            for item in source:
                _put(items, item, stop)
                if stop.is_set():
                    return
        except BaseException as caught:  # noqa: BLE001 - raised again in the thread that reads
            error = caught
        _put(items, _End(error), stop)

    def read() -> Iterator[T]:
        while True:
            item = items.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    thread = threading.Thread(target=run, name="reader", daemon=True)
    thread.start()
    try:
        yield read()
    finally:
        stop.set()
        thread.join()


class BackgroundSink(Generic[T]):
    """Gives items to a function in another thread, in their order; a context manager.

    An error of the function is raised by the next `put`, or on leaving. Leaving without an error waits until all is
    done; leaving by an error drops what waits.
    """

    def __init__(self, function: Callable[[T], None], *, held: int = _HELD) -> None:
        self._function = function
        self._items: queue.Queue[T | _End] = queue.Queue(held)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def __enter__(self) -> BackgroundSink[T]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            _put(self._items, _End(None), self._stop)
        else:
            self._stop.set()
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def put(self, item: T) -> None:
        """Hand an item on; waits while too many wait already."""
        _put(self._items, item, self._stop)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    item = self._items.get(timeout=_PATIENCE)
                except queue.Empty:
                    continue
                if isinstance(item, _End):
                    return
                self._function(item)
                del item  # a frame that is held here any longer is one more in memory
        except BaseException as caught:  # noqa: BLE001 - raised again in the thread that puts
            self._error = caught
            self._stop.set()
