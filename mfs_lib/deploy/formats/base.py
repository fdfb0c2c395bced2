"""What every format has in common: a frame to write, files that appear whole or not at all, and a runner."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mfs_lib import __version__
from mfs_lib.deploy.frame import Layout, Output, WithOutputs, specialised
from mfs_lib.errors import ConfigError, InputError, OutputError, RuntimeMissingError
from mfs_lib.networks.idn import STRIDE
from mfs_lib.networks.mobilefaceswap import StaticSwapper

FloatArray: TypeAlias = npt.NDArray[np.float32]

Runner: TypeAlias = Callable[[FloatArray], dict[str, FloatArray]]
"""Runs one frame: target (1,3,S,S) float32 in [0,1] -> its outputs by name, (1,3,S,S) or (1,1,S,S), in [0,1]."""

SYNTHETIC = (
    "Makes synthetic pictures: it replaces the face of whoever is shown by one person's. Use it only with the consent of "
    "everybody shown, and mark every picture that it makes as edited by AI."
)
"""What every exported file says of itself, where its format has a place for it."""

TOLERANCE, HALF_TOLERANCE = 1e-4, 1e-2
"""Largest difference of any pixel of the swap that is mere rounding, in float32 and with weights in float16."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One person's network, ready to be written.

    Attributes:
        network: target (1,3,S,S) in [0,1] -> the outputs, in their order.
        size: side S of the crop in pixels.
        outputs: their names.
        layout: see `frame`.
        notes: texts for the file's metadata.
    """

    network: nn.Module
    size: int
    outputs: tuple[Output, ...]
    layout: Layout
    notes: Mapping[str, str] = field(default_factory=dict)

    def example(self) -> Tensor:
        """An input of the right shape: zeros (1,3,S,S)."""
        return torch.zeros(1, 3, self.size, self.size)

    def shape(self, name: str) -> tuple[int, int, int, int]:
        """Shape of an output."""
        return (1, 1 if name == "mask" else 3, self.size, self.size)


def frame_of(
    static: StaticSwapper,
    *,
    size: int,
    layout: Layout = "folded",
    outputs: Sequence[Output] = ("raw", "mask"),
    notes: Mapping[str, str] | None = None,
) -> Frame:
    """One person's network for crops of side `size`, with the note that its pictures are synthetic.

    Raises:
        InputError: the size is no multiple of 32.
        ConfigError: no such layout or output, or the layout doesn't suit the network.
    """
    if size < STRIDE or size % STRIDE:
        raise InputError(f"a crop's side must be a multiple of {STRIDE} pixels, got {size}")
    texts = {"note": SYNTHETIC, "made_by": f"mfs_lib {__version__}", "layout": layout, **(notes or {})}
    network = WithOutputs(specialised(static, layout=layout), outputs).eval()
    return Frame(network=network, size=size, outputs=tuple(outputs), layout=layout, notes=texts)


@dataclass(frozen=True, kw_only=True)
class Format:
    """A file format of one runtime, in one precision.

    Attributes:
        name: as in `mfs export --format`.
        title: for people.
        suffix: of the main file.
        export: writes a frame; the second argument is the main file.
        load: opens a file of this format to be run on so many threads.
        packages: what pip has to install, pinned.
        modules: what is imported from them.
        layouts: that the format takes, the fastest in its runtime first.
        tolerance: largest difference of any pixel of the swap from PyTorch's that is mere rounding.
        companion: suffix of the second file, for formats of two.
        obstacle: why the runtime can't execute on this machine, or "".
    """

    name: str
    title: str
    suffix: str
    export: Callable[[Frame, Path], None]
    load: Callable[[Path, int], Runner]
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    layouts: tuple[Layout, ...]
    tolerance: float = TOLERANCE
    companion: str = ""
    obstacle: str = ""

    def files(self, path: Path) -> tuple[Path, ...]:
        """All files that belong to the main file `path`."""
        return (path, path.with_suffix(self.companion)) if self.companion else (path,)

    def size_in_bytes(self, path: Path) -> int:
        """Of all files together."""
        return sum(_bytes(file) for file in self.files(path))

    def command(self) -> str:
        """What installs its packages."""
        return f"pip install {' '.join(self.packages)}"

    def installed(self) -> bool:
        """Whether its packages are there (none is imported)."""
        return all(importlib.util.find_spec(module) for module in self.modules)

    def require(self) -> None:
        """Raise RuntimeMissingError, saying what to install, if a package isn't there."""
        if not self.installed():
            raise RuntimeMissingError(f"{self.title} needs packages that aren't installed: {self.command()}")

    def versions(self) -> dict[str, str]:
        """Installed version of each of its packages."""
        return {name: importlib.metadata.version(name) for name in (pin.split("==")[0] for pin in self.packages)}

    def check_path(self, path: Path) -> None:
        """Raise InputError for a file whose name doesn't end as the format's do."""
        if path.suffix != self.suffix:
            raise InputError(f"a file of {self.title} ends in {self.suffix}: {path.name} doesn't")


def _bytes(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size


def need(module: str, package: str) -> ModuleType:
    """Import a module of an optional package.

    Raises:
        RuntimeMissingError: it isn't there; says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RuntimeMissingError(f"{package.split('==')[0]} is needed: pip install {package} ({error})") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without a converter's remarks, by whatever way they come: warnings, logging, or compiled code on the terminal.

    Errors come through: they are raised.
    """
    level = logging.root.manager.disable
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    logging.disable(logging.WARNING)
    with tempfile.TemporaryFile() as sink, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, descriptor in enumerate(saved, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            logging.disable(level)


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A folder to write in, beside `path`; what has the final names is moved beside `path` at the end, `path` last.

    Moved is what is called like `path`, with whatever suffix; other files (a converter's by-products) are dropped.

    Raises:
        OutputError: the folder or a file can't be written, or nothing was written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.stem}.", dir=path.parent))
    except OSError as error:
        raise OutputError(f"Can't write {path}: {error.strerror}. Choose a folder that you may write to.") from error
    try:
        yield draft
        made = sorted((file for file in draft.iterdir() if file.stem == path.stem), key=lambda f: f.name == path.name)
        if not made or made[-1].name != path.name:
            raise OutputError(f"the converter wrote no {path.name}: run again with its package's tested version")
        for file in made:
            _place(file, path.with_name(file.name))
    except OSError as error:
        raise OutputError(f"Can't write {path}: {error}. Check free space and permissions.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _place(draft: Path, path: Path) -> None:
    """Move a finished file or folder to its name, with the permissions that the user's umask asks for."""
    mask = os.umask(0)
    os.umask(mask)
    for part in (draft, *draft.rglob("*")):
        part.chmod((0o777 if part.is_dir() else 0o666) & ~mask)
    if path.is_dir():  # a folder can't be replaced by renaming
        shutil.rmtree(path)
    draft.replace(path)


def check_target(target: FloatArray) -> FloatArray:
    """A target as runtimes want it: contiguous float32 (1,3,S,S). Raises InputError for another shape."""
    if target.ndim != 4 or target.shape[:2] != (1, 3) or target.shape[2] != target.shape[3]:
        raise InputError(f"a target is (1, 3, S, S), got {target.shape}")
    return np.ascontiguousarray(target, dtype=np.float32)


def named(names: Sequence[str], values: Sequence[npt.NDArray[np.generic]], size: int) -> dict[str, FloatArray]:
    """Outputs by name as float32 of their full shapes (some runtimes drop the batch).

    Raises:
        ConfigError: another number of outputs than names.
    """
    if len(names) != len(values):
        raise ConfigError(f"the network has {len(values)} outputs, not {', '.join(names)}")
    return {
        name: np.array(value, dtype=np.float32).reshape(1, -1, size, size)
        for name, value in zip(names, values, strict=True)
    }
