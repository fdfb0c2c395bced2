"""From photographs to a swapped, marked photograph.

Three lines::

    from mfs_lib.swapping import swap
    result = swap("source.jpg", "target.jpg")
    result.save("swapped.png")

`Swapper` and what belongs to it compute with PyTorch, which is imported when one of their names is used first: the
light path (`portable`, `tracking`, `paste`, `video`) needs only numpy, OpenCV and ONNX Runtime.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfs_lib.swapping.image_io import ImageInput
    from mfs_lib.swapping.paste import Detail
    from mfs_lib.swapping.pipeline import FaceChoice, Person, SwappedFace, Swapper, SwapResult
    from mfs_lib.swapping.provenance import Provenance, read_provenance
    from mfs_lib.swapping.recipe import RecipeName

__all__ = [
    "Person",
    "Provenance",
    "RecipeName",
    "SwapResult",
    "SwappedFace",
    "Swapper",
    "default_swapper",
    "read_provenance",
    "swap",
]

_HOMES = {
    **dict.fromkeys(("Provenance", "read_provenance"), "mfs_lib.swapping.provenance"),
    **dict.fromkeys(("FaceChoice", "Person", "SwapResult", "SwappedFace", "Swapper"), "mfs_lib.swapping.pipeline"),
    "RecipeName": "mfs_lib.swapping.recipe",
}


def __getattr__(name: str) -> object:
    """Names of modules that are imported on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


@lru_cache(maxsize=1)
def default_swapper() -> Swapper:
    """The default `Swapper` on the CPU, loaded once per process."""
    from mfs_lib.swapping.pipeline import Swapper

    return Swapper.load()


def swap(
    source: ImageInput | Person, target: ImageInput, face: FaceChoice = "largest", *, detail: Detail | None = None
) -> SwapResult:
    """Put the source's face onto the target with the default student; see `Swapper.swap`.

    Raises:
        InputError: a picture can't be read, or shows no such face.
        AssetError: a model is missing and can't be fetched.
    """
    return default_swapper().swap(source, target, face, detail=detail)
