"""A reader of pickles that imports nothing and calls nothing a pickle names.

A pickle is a program for a small stack machine; Python's own machine imports whatever the program names and calls it.
This one takes the program apart with ``pickletools`` (which only parses) and keeps its own stack. Every name goes to a
`resolve` function of the reader, which answers with a `Known` of ours or refuses; what a pickle "calls" is the `make`
of that `Known`, and what it "builds" is an `Inert` that stores its state. So no import, no attribute look-up, no
constructor and no `__setstate__` is ever reached from a file, and the values that result are plain Python ones,
`Inert` and what the `make` functions give.

Time and memory follow the file's length: a claimed length is compared with what is left before anything is allocated,
keys that would need deep hashing are refused, and the number of operations is bounded.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn, Protocol, TypeAlias

from mfs_lib.errors import AssetError

MAX_OPERATIONS = 5_000_000
"""More than a hundred times what the largest checkpoint of the field needs; bounds memory against the file's length."""

BROKEN = (
    *(ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError, AttributeError),
    *(MemoryError, RuntimeError, struct.error),
    Warning,  # of an odd escape in a text, where warnings are errors
)
"""What a crafted or damaged file may make of honest code; every reader turns these into AssetError."""


class Readable(Protocol):
    """What is needed of a stream: a `BoundedFile` or a BytesIO."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""
        ...

    def readline(self) -> bytes:
        """Up to the end of the line."""
        ...


class BoundedFile:
    """An open file whose reads never ask for more than is left, so that no claimed length is allocated."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.size = size

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""
        return self._file.read(max(0, min(size, self.size - self._file.tell())))

    def readline(self) -> bytes:
        """Up to the end of the line."""
        return self._file.readline(max(0, self.size - self._file.tell()))

    def tell(self) -> int:
        """Where the next read starts."""
        return self._file.tell()

    def skip(self, size: int) -> None:
        """Go on by `size` bytes."""
        self._file.seek(size, 1)


@dataclass(frozen=True, eq=False)
class Known:
    """A name that a reader admits.

    Attributes:
        name: as the pickle writes it.
        make: takes the arguments that the pickle gives, returns what stands for the result.
    """

    name: str
    make: Callable[[tuple[Any, ...]], object]


@dataclass(eq=False)
class Inert:
    """Stands for an object of a foreign class: keeps what the pickle hands it and does nothing with it."""

    kind: str
    arguments: tuple[Any, ...] = ()
    state: Any = None


Resolve: TypeAlias = Callable[[str, str], Known]


def inert(name: str) -> Known:
    """A name whose calls only leave an `Inert` behind."""
    return Known(name, lambda arguments: Inert(name, arguments))


def refuse(module: str, name: str) -> NoReturn:
    """The answer to every name that is not admitted.

    Raises:
        AssetError: always; names what was asked for.
    """
    raise AssetError(f"the pickle asks for {_short(f'{module}.{name}')!r}, which no file of weights needs")


def read_pickle(stream: Readable, resolve: Resolve, persistent: Callable[[Any], object] | None = None) -> Any:
    """Read one pickle; the stream is left behind its end.

    Args:
        stream: where to read.
        resolve: from (module, name) to what stands for it; raises AssetError (see `refuse`) for names not admitted.
        persistent: what stands for an object outside of the pickle, from its identity; None when there are none.

    Raises:
        AssetError: a refused name, an operation that files of weights don't use, or a broken or truncated stream.
    """
    machine = _Machine(resolve, persistent)
    try:
        return machine.run(stream)
    except AssetError:
        raise
    except BROKEN as error:
        raise AssetError(f"the pickle is broken or truncated ({_short(str(error) or type(error).__name__)})") from error


def mapping(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """What stands for a dictionary class: an ordinary dict, from nothing or from one list of pairs."""
    if arguments in ((), ([],)):
        return {}
    (pairs,) = arguments
    return {_key(key): value for key, value in pairs}


def collection(arguments: tuple[Any, ...]) -> set[Any]:
    """What stands for ``set``: a set, from nothing or from one list."""
    return {_key(item) for items in arguments for item in items}


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}..."


def _key(key: Any) -> Any:
    # Hashing nested tuples walks them again and again: a short pickle could keep us busy for ever.
    # Huge numbers are hashed anew each time, too. What else can't be hashed says so itself.
    if not isinstance(key, tuple) and not (isinstance(key, int) and key.bit_length() > 64):
        return key
    raise AssetError(f"the pickle uses a {type(key).__name__} as a key, which no file of weights needs")


class _Machine:
    """The stack, the marks and the memo of one pickle."""

    def __init__(self, resolve: Resolve, persistent: Callable[[Any], object] | None) -> None:
        self.resolve = resolve
        self.persistent = persistent
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: Readable) -> Any:
        """Carry the program out up to its STOP."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):  # type: ignore[arg-type]
            if count >= MAX_OPERATIONS:
                raise AssetError(f"the pickle has more than {MAX_OPERATIONS:,} operations")
            if opcode.name in _LITERALS:
                self.stack.append(argument)
            elif opcode.name in _CONSTANTS:
                self.stack.append(_CONSTANTS[opcode.name]())
            elif opcode.name in _OPERATIONS:
                _OPERATIONS[opcode.name](self, argument)
            elif opcode.name not in ("PROTO", "FRAME", "STOP"):
                raise AssetError(f"the pickle uses {opcode.name}, which no file of weights needs")
        return self.stack.pop()

    def mark(self, _: Any) -> None:
        """Start a new run of operands."""
        self.marks.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        """End the run: its operands; the stack below it is current again."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def pop(self, _: Any) -> None:
        """Drop the top, or an empty run."""
        if self.stack:
            self.stack.pop()
        else:
            self.stack = self.marks.pop()

    def container(self, kind: type[list[Any]] | type[dict[Any, Any]] | type[set[Any]]) -> Any:
        """The top, which must be exactly of that kind."""
        if type(self.stack[-1]) is not kind:
            raise AssetError(f"the pickle fills a {type(self.stack[-1]).__name__} as if it were a {kind.__name__}")
        return self.stack[-1]

    def take(self, count: int) -> tuple[Any, ...]:
        """The `count` topmost operands, removed."""
        if len(self.stack) < count:
            raise IndexError("not enough operands")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def set_items(self, flat: list[Any] | tuple[Any, ...]) -> None:
        """Keys and values in turn into the dictionary on top."""
        target = self.container(dict)
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            target[_key(key)] = value

    def global_name(self, argument: str) -> None:
        """GLOBAL: "module name"."""
        module, name = argument.split(" ")
        self.stack.append(self.resolve(module, name))

    def stack_global(self, _: Any) -> None:
        """STACK_GLOBAL: module and name from the stack."""
        module, name = self.take(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise AssetError("the pickle names a global by something else than text")
        self.stack.append(self.resolve(module, name))

    def call(self, _: Any) -> None:
        """REDUCE and NEWOBJ: our own stand-in gets the arguments."""
        known, arguments = self.take(2)
        if not isinstance(known, Known) or not isinstance(arguments, tuple):
            raise AssetError(f"the pickle calls a {type(known).__name__}")
        self.stack.append(known.make(arguments))

    def build(self, _: Any) -> None:
        """BUILD: the state is stored, never applied; that of a dictionary (attributes of its class) is dropped."""
        (state,) = self.take(1)
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.state = state
        elif type(target) is not dict:
            raise AssetError(f"the pickle sets the state of a {type(target).__name__}")

    def load_persistent(self, _: Any) -> None:
        """BINPERSID: an object outside of the pickle."""
        if self.persistent is None:
            raise AssetError("the pickle refers to objects outside of it")
        self.stack.append(self.persistent(self.stack.pop()))

    def memoize(self, index: int | None) -> None:
        """Remember the top."""
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]


def _append(machine: _Machine, _: Any) -> None:
    items = machine.take(1)
    machine.container(list).extend(items)


def _appends(machine: _Machine, _: Any) -> None:
    items = machine.marked()
    machine.container(list).extend(items)


def _add_items(machine: _Machine, _: Any) -> None:
    items = machine.marked()
    machine.container(set).update(_key(item) for item in items)


def _dictionary(machine: _Machine, _: Any) -> None:
    items = machine.marked()
    machine.stack.append({})
    machine.set_items(items)


def _list(machine: _Machine, _: Any) -> None:
    items = machine.marked()
    machine.stack.append(items)


def _tuple(machine: _Machine, _: Any) -> None:
    items = machine.marked()
    machine.stack.append(tuple(items))


def _drop_marked(machine: _Machine, _: Any) -> None:
    machine.marked()


_LITERALS = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    }
)

_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}

_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _drop_marked,
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "LIST": _list,
    "TUPLE": _tuple,
    "TUPLE1": lambda machine, _: machine.stack.append(machine.take(1)),
    "TUPLE2": lambda machine, _: machine.stack.append(machine.take(2)),
    "TUPLE3": lambda machine, _: machine.stack.append(machine.take(3)),
    "DICT": _dictionary,
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": lambda machine, _: machine.set_items(machine.take(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.marked()),
    "ADDITEMS": _add_items,
    "PUT": _Machine.memoize,
    "BINPUT": _Machine.memoize,
    "LONG_BINPUT": _Machine.memoize,
    "MEMOIZE": _Machine.memoize,
    "GET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "GLOBAL": _Machine.global_name,
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.load_persistent,
}
