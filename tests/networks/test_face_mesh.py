"""The 468-point network: values of the original's interpreter (LiteRT 2.3), and a mesh that makes sense."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfs_lib.errors import AssetError, InputError
from mfs_lib.networks.face_mesh import FaceMesh
from mfs_lib.weights.convert.face_geometry import convert_face_geometry
from mfs_lib.weights.models import load_mesh
from mfs_lib.weights.registry import fetch

# Points 0, 100 and 467 for the noise image below, and the score's logit, as the interpreter gives them.
REFERENCE = {
    0: [108.76190948486328, 114.1971664428711, -15.03033447265625],
    100: [81.10397338867188, 86.8115005493164, -4.541482925415039],
    467: [144.89767456054688, 69.1268539428711, 14.097094535827637],
}
REFERENCE_SCORE = -10.037828


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return load_mesh()


def test_values_equal_the_interpreters(mesh: FaceMesh) -> None:
    noise = np.random.default_rng(0)
    noise.random((2, 112, 112, 3), dtype=np.float32)
    image = torch.from_numpy(noise.random((1, 192, 192, 3), dtype=np.float32)).permute(0, 3, 1, 2)
    output = mesh(image)
    assert output.landmarks.shape == (1, 468, 3)
    assert output.score.shape == (1,)
    for index, expected in REFERENCE.items():
        np.testing.assert_allclose(output.landmarks[0, index].numpy(), expected, atol=1e-3)
    assert output.score.item() == pytest.approx(REFERENCE_SCORE, abs=1e-3)


def test_the_canonical_mesh(mesh: FaceMesh) -> None:
    assert mesh.triangles.shape == (898, 3)
    # Every point is a corner of some triangle, and no triangle has two equal corners.
    assert set(mesh.triangles.flatten().tolist()) == set(range(468))
    assert all(len(set(corners)) == 3 for corners in mesh.triangles.tolist())
    assert mesh.uv.min() >= 0
    assert mesh.uv.max() <= 1
    # Outer eye corners are mirror images; forehead above, chin below, nose tip nearest; uv runs downwards.
    left, right = mesh.canonical[33], mesh.canonical[263]
    torch.testing.assert_close(left * torch.tensor([-1.0, 1, 1]), right, atol=1e-4, rtol=0)
    assert mesh.canonical[10, 1] > mesh.canonical[152, 1]
    assert mesh.uv[10, 1] < mesh.uv[152, 1]
    assert mesh.canonical[:, 2].argmax().item() in (1, 4)
    # A disc with holes for the eyes and the mouth: interior edges are shared by exactly two triangles.
    edges: dict[frozenset[int], int] = {}
    for a, b, c in mesh.triangles.tolist():
        for pair in ((a, b), (b, c), (c, a)):
            edges[frozenset(pair)] = edges.get(frozenset(pair), 0) + 1
    assert set(edges.values()) == {1, 2}


def test_refusals() -> None:
    with pytest.raises(InputError, match="192"):
        FaceMesh()(torch.zeros(1, 3, 128, 128))
    with pytest.raises(AssetError):
        convert_face_geometry(fetch("yunet"))
