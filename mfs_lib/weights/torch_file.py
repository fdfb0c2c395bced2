"""The two containers of ``torch.save``, taken apart without torch's own unpickling.

| format | layout                                                                                                   |
|--------|----------------------------------------------------------------------------------------------------------|
| zip    | ``NAME/data.pkl``, the pickle; ``NAME/data/KEY``, the bytes of each storage, stored without compression    |
| legacy | pickles in a row (magic number, version, system, the object, storage keys), then each key's length and bytes |

In both, the pickle refers to storages by a persistent identity ``("storage", type, key, place, length)`` and to
tensors by functions of ``torch._utils`` with a storage, an offset, a size and strides. The reader keeps those as
`TensorView` and makes tensors only of the ones that are asked for: a checkpoint's optimiser is never read.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mfs_lib.errors import AssetError
from mfs_lib.weights.pickle_reader import BoundedFile, Known, Resolve, inert, read_pickle, refuse

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_LARGEST = 2**50
_BROKEN_ARCHIVE = (KeyError, NotImplementedError, EOFError, ValueError, RuntimeError, OverflowError, struct.error)
_STORAGE_TYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


@dataclass(frozen=True, eq=False)
class Storage:
    """A run of values outside of the pickle."""

    dtype: torch.dtype
    key: str
    length: int


@dataclass(frozen=True, eq=False)
class TensorView:
    """A tensor as the pickle describes it: a window on a storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _view(arguments: tuple[Any, ...]) -> TensorView:
    """``_rebuild_tensor`` and ``_rebuild_tensor_v2``: what follows the strides (gradient, hooks) is not kept."""
    storage, offset, size, stride, *_ = arguments
    numbers = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= 16
    if not isinstance(storage, Storage) or not numbers:
        raise AssetError("a tensor in it is not complete")
    if not all(type(number) is int and 0 <= number <= _LARGEST for number in (offset, *size, *stride)):
        raise AssetError("a tensor in it has no sensible size")
    return TensorView(storage, offset, size, stride)


def _parameter(arguments: tuple[Any, ...]) -> TensorView:
    """``_rebuild_parameter``: the tensor alone."""
    if not arguments or not isinstance(arguments[0], TensorView):
        raise AssetError("a parameter in it is not a tensor")
    return arguments[0]


def _flat(data: bytes, dtype: torch.dtype) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)


def _window(view: TensorView, flat: Tensor) -> Tensor:
    count = math.prod(view.size)
    if not count:
        return torch.empty(view.size, dtype=flat.dtype)
    last = view.offset + sum((n - 1) * step for n, step in zip(view.size, view.stride, strict=True))
    if count > len(flat) or last >= len(flat):
        raise AssetError(f"a tensor of size {view.size} claims more than its storage of {len(flat)} values")
    return torch.as_strided(flat, view.size, view.stride, view.offset)


TENSOR_NAMES: dict[tuple[str, str], Known] = {
    ("torch._utils", "_rebuild_tensor"): Known("tensor", _view),
    ("torch._utils", "_rebuild_tensor_v2"): Known("tensor", _view),
    ("torch._utils", "_rebuild_parameter"): Known("parameter", _parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): Known("parameter", _parameter),
    **{(place, name): inert(name) for place in ("torch", "torch.cuda") for name in _STORAGE_TYPES},
}


class TorchFile:
    """A file of ``torch.save``, opened.

    Args:
        path: the file.
        resolve: which names its pickle may mention (`TENSOR_NAMES` among them).

    Attributes:
        tree: what the pickle holds, with `TensorView` in place of tensors.

    Raises:
        AssetError: broken, truncated, of another format, or a name that is not admitted.
        OSError: it can't be opened.
    """

    def __init__(self, path: Path, resolve: Resolve) -> None:
        self._path = path
        self._resolve = resolve
        self._storages: dict[str, Storage] = {}
        self._places: dict[str, tuple[int, int]] = {}  # legacy format: (first byte, length)
        with path.open("rb") as file:
            self._zipped = file.read(4) == b"PK\x03\x04"
        self.tree: Any = self._in_zip(self._read_zip) if self._zipped else self._read_legacy()

    def tensors(self, views: Mapping[str, TensorView]) -> dict[str, Tensor]:
        """The values of named views; views of one storage share its memory.

        Raises:
            AssetError: the values are not in the file, or a view reaches beyond its storage.
        """
        wanted = {view.storage.key: view.storage for view in views.values()}
        # Members of a crafted archive may overlap; what is read may not exceed what is there.
        if sum(storage.length * storage.dtype.itemsize for storage in wanted.values()) > self._path.stat().st_size:
            raise AssetError("its tensors claim more than the file holds")
        if self._zipped:
            data = self._in_zip(lambda archive: {key: self._zip_bytes(archive, one) for key, one in wanted.items()})
        else:
            data = {key: self._legacy_bytes(one) for key, one in wanted.items()}
        flat = {key: _flat(data[key], storage.dtype) for key, storage in wanted.items()}
        return {name: _window(view, flat[view.storage.key]) for name, view in views.items()}

    def _persistent(self, identity: Any) -> object:
        """A storage, or (old files) the class of a module with its source text, which is not looked at."""
        if not isinstance(identity, tuple) or not identity:
            raise AssetError("the pickle refers to something unknown outside of it")
        if identity[0] == "module" and len(identity) == 4 and isinstance(identity[1], Known):
            return identity[1]
        if identity[0] != "storage" or len(identity) < 5 or not isinstance(identity[1], Known):
            raise AssetError("the pickle refers to something else than storages outside of it")
        _, kind, key, _, length, *views = identity
        if kind.name not in _STORAGE_TYPES or not isinstance(key, str) or type(length) is not int:
            raise AssetError("a storage in it is not complete")
        if not 0 <= length <= _LARGEST:
            raise AssetError("a storage in it is not complete")
        if any(view is not None for view in views):
            raise AssetError("it uses storages inside of storages, which no file of weights needs")
        return self._storages.setdefault(key, Storage(_STORAGE_TYPES[kind.name], key, length))

    # ------------------------------------------------------------------------------------------------ zip

    def _in_zip(self, work: Callable[[zipfile.ZipFile], Any]) -> Any:
        try:
            with zipfile.ZipFile(self._path) as archive:
                return work(archive)
        except (*_BROKEN_ARCHIVE, zipfile.BadZipFile, zlib.error) as error:
            raise AssetError(f"the archive is broken or truncated ({error})") from error

    def _read_zip(self, archive: zipfile.ZipFile) -> Any:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise AssetError("the archive is not one of torch.save")
        self._root = pickles[0].removesuffix("data.pkl")
        if f"{self._root}byteorder" in archive.namelist() and self._stored(archive, "byteorder", 6) != b"little":
            raise AssetError("it was written on a machine of the other byte order")
        stream = io.BytesIO(self._stored(archive, "data.pkl", None))
        return read_pickle(stream, self._resolve, self._persistent)

    def _stored(self, archive: zipfile.ZipFile, name: str, length: int | None) -> bytes:
        """A member that is not compressed (so that it can't be larger than the file) and as long as it should be."""
        info = archive.getinfo(self._root + name)
        if info.compress_type != zipfile.ZIP_STORED or (length is not None and info.file_size != length):
            raise AssetError(f"{name} in the archive has {info.file_size} bytes and not the {length} that it claims")
        return archive.read(info)

    def _zip_bytes(self, archive: zipfile.ZipFile, storage: Storage) -> bytes:
        return self._stored(archive, f"data/{storage.key}", storage.length * storage.dtype.itemsize)

    # ------------------------------------------------------------------------------------------------ legacy

    def _read_legacy(self) -> Any:
        size = self._path.stat().st_size
        with self._path.open("rb") as file:
            data = BoundedFile(file, size)
            if read_pickle(data, refuse) != _MAGIC or read_pickle(data, refuse) != _VERSION:
                raise AssetError("it is not a file of torch.save")
            system = read_pickle(data, refuse)
            if not isinstance(system, dict) or system.get("little_endian") is not True:
                raise AssetError("it was written on a machine of the other byte order")
            tree = read_pickle(data, self._resolve, self._persistent)
            self._find_storages(data, read_pickle(data, refuse))
            return tree

    def _find_storages(self, data: BoundedFile, keys: Any) -> None:
        if not isinstance(keys, list) or not all(isinstance(key, str) and key in self._storages for key in keys):
            raise AssetError("its list of storages does not fit its tensors")
        for key in keys:
            storage = self._storages[key]
            length = int.from_bytes(data.read(8), "little", signed=True)
            size = storage.length * storage.dtype.itemsize
            if length != storage.length or data.tell() + size > data.size:
                raise AssetError(f"the file is truncated or broken: storage {key[:40]!r} is not there")
            self._places[key] = (data.tell(), size)
            data.skip(size)

    def _legacy_bytes(self, storage: Storage) -> bytes:
        if storage.key not in self._places:
            raise AssetError(f"the file is truncated or broken: storage {storage.key[:40]!r} is not there")
        first, size = self._places[storage.key]
        with self._path.open("rb") as file:
            file.seek(first)
            data = file.read(size)
        if len(data) != size:
            raise AssetError("the file changed while it was read")
        return data
