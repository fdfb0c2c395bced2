"""Attacks on the readers of foreign pickles: whatever a file asks for, it is refused and nothing runs.

Each attack would make a folder, the mark. That it does so in Python's own unpickler is checked first: a test that
could not fail would show nothing.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mfs_lib.errors import AssetError
from mfs_lib.weights import pickle_reader
from mfs_lib.weights.restricted_pickle import load_arrays, load_module_state
from mfs_lib.weights.safe_io import load_foreign_pickle

Read = Callable[[Path], object]
READERS: dict[str, Read] = {
    "arrays": load_arrays,
    "module": load_module_state,
    "tensors": load_foreign_pickle,
}
FORMS = ("plain", "zip", "legacy")


def text(value: str) -> bytes:
    """The operation that pushes a text."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def named(module: str, name: str) -> bytes:
    """The operation that pushes a global by text on the stack, as protocol 4 does; names may have dots."""
    return text(module) + text(name) + b"\x93"


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """The operations that call a global."""
    return named(module, name) + b"(" + b"".join(arguments) + b"tR"


def old_call(module: str, name: str, *arguments: bytes) -> bytes:
    """The same by the GLOBAL of the protocols before 4."""
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


def attacks(mark: Path) -> dict[str, bytes]:
    """Programs that make `mark` in an ordinary unpickler, by name."""
    where, code = text(str(mark)), text(f"__import__('os').mkdir({str(mark)!r})")
    os_module = call("importlib", "import_module", text("os"))
    mkdir = call("builtins", "getattr", os_module, text("mkdir"))
    return {
        "os.system": call("os", "system", text(f"mkdir {mark}")),
        "os.mkdir, old operation": old_call("os", "mkdir", where),
        "posix.system": call("posix", "system", text(f"mkdir {mark}")),
        "eval": call("builtins", "eval", code),
        "eval, Python 2's name": old_call("__builtin__", "eval", code),
        "exec": call("builtins", "exec", code),
        "getattr": mkdir + b"(" + where + b"tR",
        "partial": call("functools", "partial", named("os", "mkdir"), where) + b")R",
        "map and list": call("builtins", "list", call("builtins", "map", named("os", "mkdir"), b"](" + where + b"e")),
        "attrgetter": call("operator", "methodcaller", text("mkdir"), where) + b"(" + os_module + b"tR",
        "subprocess": call("subprocess", "check_call", b"](" + text("mkdir") + where + b"e"),
        "shutil": call("shutil", "copytree", text(str(mark.with_suffix(".empty"))), where),
        "ctypes": call("builtins", "getattr", call("ctypes", "CDLL", b"N"), text("mkdir"))
        + b"("
        + call("_codecs", "encode", where, text("latin1"))
        + b"M\xff\x01tR",
        "through torch's modules": call("torch.nn.modules", "module.torch.os.mkdir", where),
        "through one torch module": call("torch.nn.modules.module", "torch.os.mkdir", where),
        "through torch._utils": call("torch._utils", "torch.os.mkdir", where),
        "through numpy": call("numpy.f2py", "os.mkdir", where),
        "numpy.load": call("numpy", "load", text(str(mark.with_suffix(".npy"))), b"N", b"\x88"),
        "numpy.f2py": call("numpy.f2py.crackfortran", "myeval", code),
        "numpy.testing": call("numpy.testing", "runstring", code, b"}"),
        "torch.load": call(
            "torch.serialization",
            "pickle.loads",
            call("_codecs", "encode", text(f"cos\nmkdir\n(V{mark}\ntR."), text("latin1")),
        ),
        "INST": f"(V{mark}\nios\nmkdir\n".encode(),
        "OBJ": b"(" + named("os", "mkdir") + where + b"o",
        "in a state": call("collections", "OrderedDict") + call("os", "mkdir", where) + b"b",
    }


ATTACKS = tuple(attacks(Path("mark")))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """What an attack that runs leaves behind, and beside it the files that some attacks use."""
    mark = tmp_path / "mark"
    mark.with_suffix(".empty").mkdir()
    mark.with_suffix(".npy").write_bytes(b"\x80\x04" + call("os", "mkdir", text(str(mark))) + b".")
    return mark


def in_place(attack: bytes, place: str) -> bytes:
    """A whole pickle with the attack as a value, as a key, or thrown away before a good one."""
    good = pickle.dumps({"weight": np.zeros(2, np.float32)}, 2)[2:-1]
    whole = {
        "value": b"}" + text("evil") + attack + b"s",
        "key": b"}" + attack + text("evil") + b"s",
        "dropped": attack + b"0" + good,
    }[place]
    # Python 3 translates the names of Python 2 only in protocols below 3, and takes dotted names only from 4.
    return (b"\x80\x02" if b"__builtin__" in attack else b"\x80\x04") + whole + b"."


def write(path: Path, program: bytes, form: str) -> Path:
    """The program as a bare pickle or as the object of one of torch's two containers."""
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", program)
            archive.writestr("a/version", "3\n")
            archive.writestr("a/byteorder", "little")
    elif form == "legacy":
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
        head = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, system)]
        path.write_bytes(b"".join([*head, program, pickle.dumps([], 2)]))
    else:
        path.write_bytes(program)
    return path


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_works_on_python_s_own_reader(mark: Path, name: str) -> None:
    with contextlib.suppress(Exception):  # what happens after the mark was made does not matter
        pickle.loads(in_place(attacks(mark)[name], "value"))  # noqa: S301 - that it is dangerous is the point
    assert mark.exists()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_and_nothing_runs(mark: Path, tmp_path: Path, name: str, reader: str) -> None:
    for place in ("value", "key", "dropped"):
        for form in FORMS:
            path = write(tmp_path / "evil", in_place(attacks(mark)[name], place), form)
            with pytest.raises(AssetError, match="refused"):
                READERS[reader](path)
            assert not mark.exists()


def _array(data: bytes, shape: tuple[int, ...], code: Any = "f4", state: Any = None) -> bytes:
    """A pickle of one named array, every claim of it free."""

    class Claims:
        def __reduce__(self) -> Any:
            return np.zeros(0).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, shape, Type(), False, data)

    class Type:
        def __reduce__(self) -> Any:
            return np.dtype, (code, False, True), state or (3, "<", None, None, None, -1, -1, 0)

    return pickle.dumps({"weight": Claims()}, 4)


HUGE = 2**62
STORAGE = text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")


def _tensor(length: int, size: int, stride: int = 1, offset: int = 0) -> bytes:
    """A pickle of one named tensor in a storage "0" outside of it, every claim of it free."""
    storage = b"(" + STORAGE + b"\x8a\x08" + struct.pack("<q", length) + b"tQ"
    numbers = [b"\x8a\x08" + struct.pack("<q", number) for number in (offset, size, stride)]
    arguments = [storage, numbers[0], numbers[1] + b"\x85", numbers[2] + b"\x85", b"\x89", b"}"]
    return b"\x80\x02}" + text("weight") + old_call("torch._utils", "_rebuild_tensor_v2", *arguments) + b"s."


def _zip_tensor(path: Path, program: bytes, data: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    write(path, program, "zip")
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.writestr("a/data/0", data)
    return path


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (pickle.dumps({"a": np.array([{}, None], dtype=object)}), "never objects"),
        (pickle.dumps({"a": np.zeros(2, dtype=[("x", "f4"), ("y", "i4")])}), "only numbers"),
        (pickle.dumps({"a": np.array(["text"])}), "only numbers"),
        (_array(b"", (2**39, 2**39)), "claims"),
        (_array(b"1234", (-1,)), "no sensible shape"),
        (_array(b"1234", (1,) * 9), "no sensible shape"),
        (_array(b"1234", (2,)), "2 values but has 4 bytes"),
        (_array(b"1234", (1,), "O"), "never objects"),
        (_array(b"1234", (1,), (("f4",) * 2,) * 2), "never objects"),
        (_array(b"1234", (1,), state=(3, "<", (np.dtype("f4"), (1,)), None, None, 4, 1, 0)), "compound"),
        (_array(b"1234", (1,), state=(3, "?", None, None, None, -1, -1, 0)), "byte order"),
        (b"\x80\x04\x8e" + struct.pack("<Q", HUGE) + b"short.", "broken or truncated"),
        (b"\x80\x04\x8d" + struct.pack("<Q", HUGE) + b"short.", "broken or truncated"),
        (b"\x80\x05\x96" + struct.pack("<Q", HUGE) + b"short.", "broken or truncated"),
        (b"\x80\x02]r\xff\xff\xff\xff.", "and not named arrays"),  # an index of the memo that a list would die of
        (b"\x80\x02}q\x00h\x00K\x01s.", "broken or truncated"),
        (b"\x80\x02}" + b"(" * 100 + b"u.", "broken or truncated"),
        (b"\x80\x04N" + b"\x85\x94h\x00h\x00\x86" * 40 + b"}\x94" + b"h\x00K\x01s.", "as a key"),
        (b"\x80\x04]\x8f.", "and not named arrays"),
        (b"\x80\x04\x82\x01.", "uses EXT1"),
        (b"\x80\x02Pname\n.", "uses PERSID"),
        (b"\x80\x02}Q.", "outside of it"),
        (b"\x80\x02K\x01K\x02b.", "state of a int"),
        (b"\x80\x02K\x01)R.", "calls a int"),
        (b"\x80\x04K\x01K\x02\x93.", "something else than text"),
        (b"\x80\x02]K\x01K\x02s.", "as if it were"),
        (b"", "broken"),
        (b".", "broken"),
    ],
)
def test_strange_claims_of_arrays_are_refused(tmp_path: Path, program: bytes, message: str) -> None:
    path = tmp_path / "evil.pdparams"
    path.write_bytes(program)
    with pytest.raises(AssetError, match=message):
        load_arrays(path)


def test_arrays_may_not_claim_the_same_bytes_again_and_again(tmp_path: Path) -> None:
    one, data = np.zeros(0, np.float32), bytes(4000)

    class Claims:
        def __reduce__(self) -> Any:
            return one.__reduce__()[0], (np.ndarray, (0,), b"b"), (1, (1000,), one.dtype, False, data)

    path = tmp_path / "evil.pdparams"
    path.write_bytes(pickle.dumps({str(i): Claims() for i in range(100)}))
    with pytest.raises(AssetError, match="claim more than the file holds"):
        load_arrays(path)
    shared = np.zeros(1000, np.float32)
    path.write_bytes(pickle.dumps({str(i): shared for i in range(100)}))  # one array by many names is no claim
    assert len(load_arrays(path)) == 100


@pytest.mark.parametrize("reader", ["module", "tensors"])
@pytest.mark.parametrize(
    ("program", "data"),
    [
        (_tensor(HUGE, 2), bytes(8)),
        (_tensor(2**40, 2), bytes(8)),
        (_tensor(2, HUGE), bytes(8)),
        (_tensor(2, 3), bytes(8)),
        (_tensor(2, 2, stride=2), bytes(8)),
        (_tensor(2, 1, offset=2), bytes(8)),
        (_tensor(2, 2, offset=-1), bytes(8)),
        (_tensor(2, 2), bytes(4)),
    ],
)
def test_tensors_may_not_claim_more_than_is_there(tmp_path: Path, program: bytes, data: bytes, reader: str) -> None:
    with pytest.raises(AssetError, match="refused"):
        READERS[reader](_zip_tensor(tmp_path / "evil", program, data))
    legacy = write(tmp_path / "old", program, "legacy")
    with pytest.raises(AssetError, match="refused"):
        READERS[reader](legacy)


def test_the_same_forms_are_read_when_their_claims_are_true(tmp_path: Path) -> None:
    path = _zip_tensor(tmp_path / "good", _tensor(2, 2), struct.pack("<2f", 1, 2))
    assert load_module_state(path)["weight"].tolist() == [1, 2]
    assert load_foreign_pickle(path)["weight"].tolist() == [1, 2]
    path.write_bytes(_array(struct.pack("<2f", 1, 2), (2,)))
    assert load_arrays(path)["weight"].tolist() == [1, 2]


def test_compressed_and_expanded_storages_are_refused(tmp_path: Path) -> None:
    bomb = _zip_tensor(tmp_path / "bomb", _tensor(10**6, 10**6), bytes(4 * 10**6), zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 10_000
    with pytest.raises(AssetError, match="claim more than the file holds"):
        load_module_state(bomb)
    small = _zip_tensor(tmp_path / "small", _tensor(20, 20), bytes(80), zipfile.ZIP_DEFLATED)
    with pytest.raises(AssetError, match="data/0 in the archive"):
        load_module_state(small)
    endless = b"\x8b" + struct.pack("<i", 5000) + b"\x01" * 5000  # a number too long to be printed
    program = _tensor(1, 1).replace(b"\x8a\x08" + struct.pack("<q", 1) + b"\x85", endless + b"\x85", 1)
    with pytest.raises(AssetError, match="no sensible size"):
        load_module_state(_zip_tensor(tmp_path / "endless", program, bytes(4)))
    with pytest.raises(AssetError, match="claims more than its storage"):
        load_module_state(_zip_tensor(tmp_path / "wide", _tensor(1, 10**12, stride=0), bytes(4)))


def test_modules_without_end_are_refused(tmp_path: Path) -> None:
    circle = nn.Sequential(nn.ReLU())
    circle._modules["1"] = circle
    torch.save(circle, tmp_path / "circle")
    with pytest.raises(AssetError, match="without end"):
        load_module_state(tmp_path / "circle")
    wide = nn.Sequential(nn.PReLU())
    for _ in range(40):  # each level twice in the next: 2^40 paths to the one PReLU
        wide = nn.Sequential(wide, wide)
    torch.save(wide, tmp_path / "wide")
    with pytest.raises(AssetError, match="without end"):
        load_module_state(tmp_path / "wide")


def test_names_without_end_are_refused(tmp_path: Path) -> None:
    module = nn.Module()
    module.register_buffer("b" * 1000, torch.zeros(1))
    torch.save(module, tmp_path / "m")
    with pytest.raises(AssetError, match="has no _buffers"):
        load_module_state(tmp_path / "m")


def test_the_number_of_operations_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"\x80\x02" + b"]0" * 5000 + b"N.")
    monkeypatch.setattr(pickle_reader, "MAX_OPERATIONS", 1000)
    with pytest.raises(AssetError, match="more than 1,000 operations"):
        load_arrays(path)


def _good_files(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Whole small files by name: the readers that take them, and their content."""
    files = {"arrays": ("arrays", pickle.dumps({"a": np.arange(3, dtype=np.float32), "n": {}}, 4))}
    for form in ("zip", "legacy"):
        for name, thing in (("tensors", {"a": torch.arange(3.0)}), ("module", nn.PReLU())):
            stream = io.BytesIO()
            torch.save(thing, stream, _use_new_zipfile_serialization=form == "zip")
            files[f"{name}-{form}"] = (name, stream.getvalue())
    return files


@pytest.mark.parametrize("name", ["arrays", "tensors-zip", "tensors-legacy", "module-zip", "module-legacy"])
def test_truncated_files_are_refused(tmp_path: Path, name: str) -> None:
    reader, data = _good_files(tmp_path)[name]
    path = tmp_path / "cut"
    for length in range(0, len(data), max(1, len(data) // 150)):
        path.write_bytes(data[:length])
        with pytest.raises(AssetError):
            READERS[reader](path)


@pytest.mark.parametrize("name", ["arrays", "tensors-zip", "tensors-legacy", "module-zip", "module-legacy"])
def test_damaged_files_give_a_typed_error_or_values(tmp_path: Path, name: str) -> None:
    reader, data = _good_files(tmp_path)[name]
    chance, path, refused = random.Random(7), tmp_path / "damaged", 0
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            READERS[reader](path)
        except AssetError:
            refused += 1
    assert refused > 50
