"""The user's own insightface model packs, when there are any: an optional recogniser for judging.

Packs are folders of ONNX files below ``MFS_INSIGHTFACE`` or ``~/.insightface/models``. They are never fetched (their
licence allows non-commercial research only) and nothing is read before it is asked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from mfs_lib.errors import AssetError, InputError

_DETECTORS = ("det_", "scrfd")
_RECOGNISERS = ("w600k", "glint", "arcface", "ms1mv3", "webface")


@dataclass(frozen=True, kw_only=True)
class Pack:
    """One pack: its folder's name, and the ONNX files of its detector and recogniser (None where it has none)."""

    name: str
    detector: Path | None
    recogniser: Path | None


def find_packs() -> tuple[Pack, ...]:
    """Packs on this machine, by name; empty when there are none."""
    root = Path(os.environ.get("MFS_INSIGHTFACE") or Path.home() / ".insightface" / "models").expanduser()
    if not root.is_dir():
        return ()
    packs = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        files = sorted(folder.glob("*.onnx"))
        detector = next((f for f in files if f.name.lower().startswith(_DETECTORS)), None)
        recogniser = next((f for f in files if f.name.lower().startswith(_RECOGNISERS)), None)
        if detector or recogniser:
            packs.append(Pack(name=folder.name, detector=detector, recogniser=recogniser))
    return tuple(packs)


class OnnxRecogniser(nn.Module):
    """An ArcFace-style ONNX recogniser run by onnxruntime: a judge, so no gradient passes through it.

    Args:
        path: ONNX file with one input (N, 3, 112, 112) and one output (N, E).

    Raises:
        AssetError: onnxruntime can't read the file, or it takes something else.
    """

    def __init__(self, *, path: Path) -> None:
        super().__init__()
        import onnxruntime  # only needed by those who have a pack

        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no common base class for its errors
            raise AssetError(f"{path} can't be read as an ONNX model ({error}).") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or list(inputs[0].shape[1:]) != [3, 112, 112]:
            raise AssetError(f"{path} is no recogniser: one input (N, 3, 112, 112) is needed.")
        self._input = inputs[0].name
        # Packs exported with a fixed batch are fed face by face.
        self._one_by_one = inputs[0].shape[0] == 1

    def forward(self, x: Tensor) -> Tensor:
        """Identities (B, E), L2-normalised, of aligned faces (B, 3, 112, 112), RGB in [0, 1].

        Raises:
            InputError: another shape.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, 112, 112):
            raise InputError(f"The recogniser takes aligned faces (B, 3, 112, 112), got {tuple(x.shape)}.")
        batch = (x.detach().cpu().float().numpy() * 255 - 127.5) / 127.5
        parts = np.split(batch, len(batch)) if self._one_by_one else [batch]
        rows = np.concatenate([self._session.run(None, {self._input: part})[0] for part in parts])
        return functional.normalize(torch.from_numpy(rows).to(x.device), dim=1)
