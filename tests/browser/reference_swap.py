"""The page's swap in Python: the package's detector, crop and paste around the page's own network files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from mfs_lib.faces.alignment import arcface_view
from mfs_lib.swapping.recipe import OUR_TEMPLATE, SwappedCrop, recipe_by_name
from mfs_lib.weights.models import load_detector

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class ReferenceSwap:
    """Swaps with the graphs in `folder` (what `mfs_lib.deploy.browser` writes)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
        self.size = int(self.manifest["crop_size"])
        self.detector = load_detector()
        self.recipe = recipe_by_name("ours")

    def shipped(self, name: str, target: Pixels) -> Pixels:
        """The face of a person of the page on `target`."""
        person = next(one for one in self.manifest["people"] if one["name"] == name)
        return self._swap(person["graph"], {}, target)

    def full(self, source: Pixels, target: Pixels) -> Pixels:
        """The face of any picture on `target`."""
        graphs = self.manifest["graphs"]
        session = self._session(graphs["source"])
        crop, _ = self._crop(source)
        names = [output.name for output in session.get_outputs()]
        face = arcface_view(torch.from_numpy(crop)).numpy()
        return self._swap(graphs["frame"], dict(zip(names, session.run(None, {"face": face}), strict=True)), target)

    def _swap(self, graph: dict[str, Any], weights: dict[str, Floats], target: Pixels) -> Pixels:
        crop, matrix = self._crop(target)
        raw, mask = self._session(graph).run(["raw", "mask"], {"target": crop, **weights})
        layers = [np.ascontiguousarray(part[0].transpose(1, 2, 0)) for part in (crop, raw, raw, mask)]
        image = target.copy()
        swapped = SwappedCrop(layers[0], layers[1], layers[2], layers[3][..., 0])
        self.recipe.put(image, swapped, matrix, None, np.zeros(target.shape[:2], np.uint8))
        return image

    def _crop(self, image: Pixels) -> tuple[Floats, npt.NDArray[np.float64]]:
        face = self.detector.detect(image)[0]
        matrix = self.recipe.fit(face.points, OUR_TEMPLATE.points * self.size)
        crop = self.recipe.crop(image, matrix, self.size).transpose(2, 0, 1)[None]
        return np.ascontiguousarray(crop, dtype=np.float32) / np.float32(255), matrix

    def _session(self, entry: dict[str, Any]) -> onnxruntime.InferenceSession:
        content = gzip.decompress((self.folder / entry["file"]).read_bytes())
        return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
