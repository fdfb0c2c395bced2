"""Pictures and small networks for the swapping tests. No photograph is stored: faces come from installed packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
import torch
from torch import Tensor, nn

from mfs_lib.faces.detection import Face
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.swapping.pipeline import Swapper
from tests.swapping.light import make_small_bundle, moving_frames, write_video

Pixels = npt.NDArray[np.uint8]

# Eyes, nose tip and mouth corners of skimage's astronaut (pixels), found once with the default detector.
ASTRONAUT_POINTS = np.array([[200.1, 101.8], [247.2, 102.6], [220.3, 124.7], [198.9, 143.2], [239.8, 143.9]])


class FixedDetector:
    """Returns the faces that it was given, whatever the picture."""

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)

    def detect(self, image: Pixels) -> list[Face]:
        return self.faces


class MeanColourIdentity(nn.Module):
    """A recogniser good enough for plumbing tests: its embedding is made of the crop's coarse colours."""

    def forward(self, x: Tensor) -> IdentityFeatures:
        coarse = nn.functional.adaptive_avg_pool2d(x, 7)
        embedding = nn.functional.normalize(coarse.flatten(1)[:, :8] - 0.5, dim=1)
        return IdentityFeatures(embedding, coarse.repeat(1, 3, 1, 1)[:, :8])


def face_at(points: npt.NDArray[np.float64], score: float = 0.9) -> Face:
    """A face with these five points and a box around them."""
    low, high = points.min(axis=0), points.max(axis=0)
    pad = (high - low) * 0.6
    return Face(box=np.concatenate([low - pad, high + pad]), score=score, points=points)


@pytest.fixture(scope="session")
def astronaut() -> Pixels:
    """(512, 512, 3) uint8, one frontal face; public domain (NASA)."""
    return np.asarray(skimage.data.astronaut(), dtype=np.uint8)


@pytest.fixture
def small_student() -> MobileFaceSwap:
    """A student of the real architecture with few channels and random weights."""
    torch.manual_seed(0)
    config = MobileFaceSwapConfig(
        channels=(8, 8, 8, 8, 8), mask_channels=(8, 8, 4, 4, 2), embedding_dim=8, feature_channels=8, predictor_width=8
    )
    return MobileFaceSwap(config).eval()


@pytest.fixture
def make_swapper(small_student: MobileFaceSwap) -> Callable[..., Swapper]:
    """Build a `Swapper` from a fixed list of faces, without any fetched model."""

    def make(*faces: Face, student: nn.Module | None = None, size: int = 128) -> Swapper:
        return Swapper(
            detector=FixedDetector(*(faces or (face_at(ASTRONAUT_POINTS),))),
            identity=MeanColourIdentity(),
            student=student or small_student,  # type: ignore[arg-type]
            crop_size=size,
        )

    return make


@pytest.fixture
def small_face() -> Face:
    """The astronaut's face."""
    return face_at(ASTRONAUT_POINTS)


@pytest.fixture
def picture_file(tmp_path: Path, astronaut: Pixels) -> Path:
    """The astronaut as a PNG file."""
    from PIL import Image

    path = tmp_path / "astronaut.png"
    Image.fromarray(astronaut).save(path)
    return path


@pytest.fixture
def colours() -> Pixels:
    """A smooth 24 x 40 picture in which every turn and flip looks different."""
    y, x = np.mgrid[0:24, 0:40]
    return np.dstack([x * 6, y * 10, (x + y) * 3]).astype(np.uint8)


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of tiny graphs, see `light.make_small_bundle`."""
    return make_small_bundle(tmp_path_factory.mktemp("bundle") / "small")


@pytest.fixture(scope="session")
def head(astronaut: Pixels) -> Pixels:
    """The astronaut's head and shoulders, (300, 300, 3)."""
    return np.ascontiguousarray(astronaut[0:300, 80:380])


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory: pytest.TempPathFactory, head: Pixels) -> Path:
    """Twelve frames of a moving face with a tone, 320 x 240."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, [image for image, _ in moving_frames(head, 12)])
    return path
