"""Foreign checkpoints that are pickles, read without running anything in them.

| function            | files                                                                                         |
|---------------------|-----------------------------------------------------------------------------------------------|
| `load_arrays`       | Paddle's ``.pdparams``: a pickled dict of named NumPy arrays, any protocol                      |
| `load_module_state` | ``torch.save`` of a whole ``nn.Module`` (SimSwap's arcface_checkpoint.tar), zip or legacy format |

Both read by `pickle_reader`, which resolves no name of the file. Paddle writes a state dict as a dict of plain arrays
with one extra entry, ``StructuredToParameterName@@`` (its parameters' own names, dropped here). Where a state dict is
nested in something else it writes each tensor as ``(name, array)`` instead; both forms are read. Arrays that Paddle
wrote from a static graph ask for ``eval`` and are refused.

A pickled module holds its classes by name only. Every class of the allow-list becomes an inert placeholder; what is
wanted, the tensors, lies in the placeholders' ``_parameters``, ``_buffers`` and ``_modules``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mfs_lib.errors import AssetError
from mfs_lib.weights.pickle_reader import (
    BROKEN,
    BoundedFile,
    Inert,
    Known,
    collection,
    inert,
    mapping,
    read_pickle,
    refuse,
)
from mfs_lib.weights.torch_file import TENSOR_NAMES, TensorView, TorchFile

Array = npt.NDArray[Any]

PADDLE_NAME_TABLE = "StructuredToParameterName@@"
_MAX_MODULES = 20_000
_DTYPE_CODES = frozenset(f"{kind}{size}" for kind in "iuf" for size in (1, 2, 4, 8)) - {"f1"} | {"b1"}
_ARRAY, _DTYPE, _SCALAR, _FROM_BUFFER, _RECONSTRUCT = (
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.scalar",
    "numpy.frombuffer",
    "numpy.reconstruct",
)


def load_arrays(path: Path) -> dict[str, Array]:
    """Named arrays of a ``.pdparams`` file, in native byte order, each with memory of its own.

    Raises:
        AssetError: the file is missing or broken, asks for anything else than numeric arrays, or holds anything else.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _named_arrays(read_pickle(BoundedFile(file, size), _resolve_numpy), size)
    except (OSError, *BROKEN) as error:
        raise AssetError(f"{path} can't be read ({error}).") from error
    except AssetError as error:
        raise AssetError(f"{path} was refused: {error}.") from error


def load_module_state(path: Path) -> dict[str, Tensor]:
    """State dict of a ``torch.save`` file that holds a whole module.

    Read are: a module, a plain dict of tensors, or a training checkpoint with either under ``model`` or ``state_dict``.
    Names are those of the module's own ``state_dict()``; a wrapper such as ``DataParallel`` shows as ``module.``.

    Raises:
        AssetError: the file is missing or broken, or asks for anything else than modules, tensors and plain containers.
    """
    try:
        file = TorchFile(path, _resolve_module)
        return file.tensors(_state(file.tree))
    except (OSError, *BROKEN) as error:
        raise AssetError(f"{path} can't be read ({error}).") from error
    except AssetError as error:
        raise AssetError(f"{path} was refused: {error}.") from error


# ---------------------------------------------------------------------------------------------------- NumPy's arrays


def _encode(arguments: tuple[Any, ...]) -> bytes:
    """``_codecs.encode(text, "latin1")``: how Python 3 writes bytes with protocols below 3."""
    text, encoding = arguments
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise AssetError("the pickle encodes something else than bytes")
    return text.encode("latin-1")


def _no_bytes(arguments: tuple[Any, ...]) -> bytes:
    """``bytes()``: how protocols below 3 write empty bytes."""
    if arguments:
        raise AssetError("the pickle makes bytes from something else than bytes")
    return b""


def _pair(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """``tuple((name, array))``: Paddle's tensors inside of something else."""
    (items,) = arguments
    if not isinstance(items, tuple):
        raise AssetError("the pickle makes a tuple from something else than one")
    return items


_PLAIN_NAMES: dict[tuple[str, str], Known] = {
    ("collections", "OrderedDict"): Known("dict", mapping),
    ("_codecs", "encode"): Known("encode", _encode),
    **{(module, "bytes"): Known("bytes", _no_bytes) for module in ("builtins", "__builtin__")},
    **{(module, "tuple"): Known("tuple", _pair) for module in ("builtins", "__builtin__")},
}
_NUMPY_NAMES: dict[tuple[str, str], Known] = {
    ("numpy", "ndarray"): inert(_ARRAY),
    ("numpy", "dtype"): inert(_DTYPE),
    # NumPy 1 and 2 name the same functions by different modules.
    **{(f"numpy.{core}.multiarray", "_reconstruct"): inert(_RECONSTRUCT) for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): inert(_SCALAR) for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): inert(_FROM_BUFFER) for core in ("core", "_core")},
}


def _resolve_numpy(module: str, name: str) -> Known:
    return _PLAIN_NAMES.get((module, name)) or _NUMPY_NAMES.get((module, name)) or refuse(module, name)


def _named_arrays(loaded: Any, file_bytes: int) -> dict[str, Array]:
    if not isinstance(loaded, dict):
        raise AssetError(f"it holds a {type(loaded).__name__} and not named arrays")
    made: dict[int, Array] = {}
    arrays: dict[str, Array] = {}
    for name, value in loaded.items():
        if name == PADDLE_NAME_TABLE:
            continue
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
            value = value[1]
        if not isinstance(name, str) or not isinstance(value, Inert):
            raise AssetError(f"it holds something else than named arrays (a {type(value).__name__})")
        if id(value) not in made:
            made[id(value)] = _array(value)
            # Many small arrays may claim the same bytes of the file; together they must not exceed it.
            if sum(array.nbytes for array in made.values()) > file_bytes:
                raise AssetError("its arrays claim more than the file holds")
        arrays[name] = made[id(value)]
    return arrays


def _array(value: Inert) -> Array:
    """The array that a placeholder stands for."""
    try:
        if value.kind == _RECONSTRUCT:
            _, shape, dtype, fortran, data = value.state
            order = "F" if fortran else "C"
        elif value.kind == _FROM_BUFFER:
            data, dtype, shape, order = value.arguments
        elif value.kind == _SCALAR:
            (dtype, data), shape, order = value.arguments, (), "C"
        else:
            raise AssetError(f"it holds a {value.kind} where an array should be")
    except (TypeError, ValueError) as error:
        raise AssetError("an array in it is not complete") from error
    kind = _dtype(dtype)
    sizes = _sizes(shape)
    raw = data.encode("latin-1") if isinstance(data, str) else data
    if not isinstance(raw, bytes | bytearray) or order not in ("C", "F"):
        raise AssetError("an array in it has no plain data")
    if math.prod(sizes) * kind.itemsize != len(raw):
        raise AssetError(f"an array of shape {sizes} claims {math.prod(sizes)} values but has {len(raw)} bytes")
    flat: Array = np.frombuffer(raw, kind)
    array = flat.reshape(sizes) if order == "C" else flat.reshape(sizes[::-1]).T
    return np.array(array, dtype=kind.newbyteorder("="), order="C", copy=True)


def _sizes(shape: Any) -> tuple[int, ...]:
    good = isinstance(shape, tuple) and len(shape) <= 8
    if not good or not all(type(size) is int and 0 <= size < 2**40 for size in shape):
        raise AssetError("an array in it has no sensible shape")
    return tuple(shape)


def _dtype(value: Any) -> np.dtype[Any]:
    """A plain numeric type, read from the words of the pickle and never from NumPy's own unpickling."""
    if not isinstance(value, Inert) or value.kind != _DTYPE or not value.arguments:
        raise AssetError("an array in it has no type")
    code = value.arguments[0]
    if not isinstance(code, str) or code not in _DTYPE_CODES:
        said = code[:20] if isinstance(code, str) else type(code).__name__
        raise AssetError(f"it holds values of type {said!r}; only numbers are read, never objects")
    state = (3, "|", None, None, None, -1, -1, 0) if value.state is None else value.state
    if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
        raise AssetError("it holds values of a compound type; only numbers are read")
    if state[1] not in ("<", ">", "=", "|"):
        raise AssetError("it holds values of no known byte order")
    kind: np.dtype[Any] = np.dtype(code).newbyteorder(state[1])
    return kind


# ---------------------------------------------------------------------------------------------------- torch's modules

# SimSwap's file names its classes models.arcface_models.*; the training checkpoint that it descends from (and that
# SimSwap's first release used) names them models.* and carries its optimiser, too.
_CLASS_MODULES = frozenset({"models", "models.arcface_models", "optimizer"})
_CLASS_PACKAGES = ("torch.nn.modules", "torch.nn.parallel", "torch.optim")
_MODULE_NAMES: dict[tuple[str, str], Known] = {
    ("collections", "defaultdict"): Known("dict", lambda arguments: mapping(arguments[1:])),
    ("torch.nn.backends.thnn", "_get_thnn_function_backend"): inert("thnn"),  # modules saved before torch 1.4
    ("torch", "Size"): inert("torch.Size"),
    ("torch", "device"): inert("torch.device"),
    **{(module, "set"): Known("set", collection) for module in ("builtins", "__builtin__")},
    **{(module, "dict"): Known("dict", mapping) for module in ("builtins", "__builtin__")},
}


def _resolve_module(module: str, name: str) -> Known:
    known = _MODULE_NAMES.get((module, name)) or TENSOR_NAMES.get((module, name))
    known = known or _PLAIN_NAMES.get((module, name)) or _NUMPY_NAMES.get((module, name))
    if known is not None:
        return known
    inside = any(module == package or module.startswith(f"{package}.") for package in _CLASS_PACKAGES)
    # A name with dots would be walked attribute by attribute in an ordinary unpickler; none is needed here.
    if (inside or module in _CLASS_MODULES) and name.isidentifier():
        return inert(f"{module}.{name}")
    return refuse(module, name)


def _state(tree: Any) -> dict[str, TensorView]:
    if isinstance(tree, dict):
        tree = tree.get("model", tree.get("state_dict", tree))
    if isinstance(tree, Inert):
        return _walk(tree)
    if isinstance(tree, dict) and tree and all(isinstance(k, str) for k in tree):
        views = {name: value for name, value in tree.items() if isinstance(value, TensorView)}
        if len(views) == len(tree):
            return views
    raise AssetError(f"it holds neither a module nor named tensors (a {type(tree).__name__})")


def _walk(root: Inert) -> dict[str, TensorView]:
    """Parameters and saved buffers of a module and of those inside of it, by their dotted names."""
    found: dict[str, TensorView] = {}
    waiting: list[tuple[str, Inert]] = [("", root)]
    for visited in range(_MAX_MODULES + 1):
        if not waiting:
            return found
        prefix, module = waiting.pop()
        if visited == _MAX_MODULES or prefix.count(".") > 100:
            break
        transient = module.state.get("_non_persistent_buffers_set") if isinstance(module.state, dict) else None
        for name, value in _members(module, "_parameters", "_buffers").items():
            if isinstance(value, TensorView) and not (isinstance(transient, set) and name in transient):
                found[prefix + name] = value
            elif value is not None and not isinstance(value, TensorView):
                raise AssetError(f"{prefix + name} is not a tensor")
        for name, child in _members(module, "_modules").items():
            if isinstance(child, Inert):
                waiting.append((f"{prefix}{name}.", child))
            elif child is not None:
                raise AssetError(f"{prefix + name} is not a module")
    raise AssetError("its modules are nested without end")


def _members(module: Inert, *kinds: str) -> Mapping[str, Any]:
    if not isinstance(module.state, dict):
        raise AssetError(f"a {module.kind} in it has no state")
    members: dict[str, Any] = {}
    for kind in kinds:
        group = module.state.get(kind)
        if not isinstance(group, dict) or not all(isinstance(name, str) and len(name) <= 200 for name in group):
            raise AssetError(f"a {module.kind} in it has no {kind}")
        members |= group
    return members
