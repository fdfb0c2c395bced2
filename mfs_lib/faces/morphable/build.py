"""Learn the morphable model from the training people of the London set: `python -m mfs_lib.faces.morphable.build`.

Registers every neutral and smiling photograph by its 468-point mesh, takes principal components of shape, texture,
surround and expression, and writes the package's data file. People numbered 120 and above are never read.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import fit_similarity
from mfs_lib.faces.manifests import data_root, files
from mfs_lib.faces.mesh import FACE_OVAL, five_points, mesh_landmarks
from mfs_lib.faces.morphable.appearance import TONE_OFFSET
from mfs_lib.faces.morphable.model import MODEL_FILE, MorphableModel, principal_components, save_model
from mfs_lib.faces.morphable.registration import (
    Array,
    Registered,
    displacement_field,
    mean_depth,
    mean_mesh,
    studio_matte,
    warp_to_frame,
)
from mfs_lib.weights.models import load_detector

FRAME_WIDTH = 256
SURROUND_WIDTH = 160
COMPONENTS = {"shape": 50, "texture": 75, "surround": 75, "expression": 8}

BROWS_TOP = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
EYES = (33, 246, 161, 160, 159, 158, 157, 173, 133, 263, 466, 388, 387, 386, 385, 384, 398, 362)
NOSE = (168, 193, 417, 122, 351, 198, 420, 129, 358, 98, 327, 2)
MOUTH = (164, 165, 391, 216, 436, 212, 432, 210, 430, 204, 424, 18)


def _row(*values: float) -> Array:
    """Single-precision coordinates."""
    return np.array(values, np.float32)


def read_photographs(paths: list[Path]) -> tuple[list[NDArray[np.uint8]], list[Array]]:
    """Photographs as RGB arrays and their meshes (468, 3) in pixels, z towards the camera."""
    detector = load_detector()
    images, meshes = [], []
    for path in tqdm(paths, desc="landmarks"):
        read = cv2.imread(str(path))
        if read is None:
            raise InputError(f"{path} can't be read as a picture; fetch it again")
        image = np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), np.uint8)
        mesh = mesh_landmarks(image, detector.detect(image)[0])
        images.append(image)
        meshes.append(np.asarray(mesh, np.float32) * _row(1, 1, -1))
    return images, meshes


def _centred_depth(mesh: Array) -> Array:
    """Depth measured from the mean of the oval, so that no photograph is nearer than another."""
    return np.asarray(mesh - _row(0, 0, mesh[list(FACE_OVAL), 2].mean()), np.float32)


def _polygon(points: Array, width: int, feather: float) -> Array:
    """Feathered mask (W, W) of the convex hull of frame points."""
    mask = np.zeros((width, width), np.float32)
    hull = cv2.convexHull(np.round(points[:, :2] * (width - 1) * 16).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1.0, lineType=cv2.LINE_AA, shift=4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), feather), np.float32)


def region_masks(mean: Array, width: int) -> Array:
    """Weights (4, W, W) of skin, eyes (with brows), nose and mouth; they sum to one."""
    brows = mean[list(BROWS_TOP)] - _row(0, 0.012, 0)
    under = mean[list(EYES)] + _row(0, 0.022, 0)
    parts = [
        _polygon(np.concatenate([brows, under]), width, width * 0.012),
        _polygon(mean[list(NOSE)], width, width * 0.014),
        _polygon(mean[list(MOUTH)], width, width * 0.016),
    ]
    stacked = np.stack(parts)
    stacked /= np.maximum(stacked.sum(0), 1)
    return np.concatenate([1 - stacked.sum(0, keepdims=True), stacked]).astype(np.float32)


def face_mask(mean: Array, width: int) -> Array:
    """Where the face covers the surround: the oval, cut below the hairline, feathered inwards."""
    oval = mean[list(FACE_OVAL), :2].copy()
    brow = mean[list(BROWS_TOP), 1].min()
    top = oval[:, 1].min()
    oval[:, 1] = np.maximum(oval[:, 1], brow - 0.72 * (brow - top))
    mask = np.zeros((width, width), np.uint8)
    cv2.fillPoly(mask, [np.round(oval * (width - 1)).astype(np.int32)], 1)
    inside = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    soft = np.clip(inside / (width * 0.035), 0, 1)
    return np.asarray(soft * soft * (3 - 2 * soft), np.float32)


def register(
    images: list[NDArray[np.uint8]], meshes: list[Array], placed: list[Array], mean: Array
) -> list[Registered]:
    """Textures, fields and mattes of photographs whose meshes were placed in the frame."""
    oval = _polygon(mean[list(FACE_OVAL)], FRAME_WIDTH, 0.6) > 0.5
    out = []
    for image, mesh, goal in zip(tqdm(images, desc="registration"), meshes, placed, strict=True):
        field = displacement_field(goal, mean)
        texture = warp_to_frame(image, fit_similarity(mesh[:, :2], goal[:, :2]), field, FRAME_WIDTH)
        alpha, colour = studio_matte(texture, oval)
        out.append(Registered(field, colour, alpha))
    return out


def _surround(person: Registered) -> Array:
    """Premultiplied colour and coverage (4, v, v)."""
    layered = np.concatenate([person.texture * person.alpha[..., None], person.alpha[..., None]], -1)
    small = cv2.resize(layered, (SURROUND_WIDTH, SURROUND_WIDTH), interpolation=cv2.INTER_AREA)
    return np.asarray(np.moveaxis(small, -1, 0), np.float32)


def expression_components(
    neutral: list[Registered], smiling: list[Registered], box: slice2, count: int
) -> dict[str, Array]:
    """Joint principal components of what a smile does to shape and to texture (without its change of exposure)."""
    moves = np.stack([s.field - n.field for n, s in zip(neutral, smiling, strict=True)])
    changes = []
    for n, s in zip(neutral, smiling, strict=True):
        change = s.texture - n.texture
        change -= cv2.GaussianBlur(change, (0, 0), FRAME_WIDTH * 0.06)
        changes.append(np.moveaxis(change[box], -1, 0))
    textures = np.stack(changes)
    scale = np.sqrt(np.square(textures).sum() / np.square(moves).sum()) * 1.5
    joint = np.concatenate([moves.reshape(len(moves), -1) * scale, textures.reshape(len(moves), -1)], 1)
    _, _, right = np.linalg.svd(joint, full_matrices=False)  # about zero: code 0 is the neutral face
    codes = joint @ right[:count].T
    deviation = np.sqrt(np.square(codes).mean(0))
    cut = moves[0].size
    basis = right[:count] * deviation[:, None]
    codes = codes / deviation
    return {
        "expression_shape": (basis[:, :cut] / scale).reshape(count, *moves.shape[1:]),
        "expression_texture": basis[:, cut:].reshape(count, *textures.shape[1:]),
        "expression_mean": codes.mean(0),
        "expression_codes": codes,
    }


slice2 = tuple[slice, slice]


def _face_box(mask: Array) -> tuple[slice2, Array]:
    """Rows and columns of the face texture in the frame, and the same in frame coordinates."""
    rows, columns = np.where(mask.max(1) > 0)[0], np.where(mask.max(0) > 0)[0]
    top, bottom, left, right = rows[0] - 1, rows[-1] + 2, columns[0] - 1, columns[-1] + 2
    edges = _row(left, top, right, bottom) / np.float32(mask.shape[0])
    return (slice(top, bottom), slice(left, right)), edges


def assemble(
    neutral: list[Registered], smiling: list[Registered], mean: Array, five: Array, group: Array
) -> MorphableModel:
    """Principal components of registered people."""
    mask = face_mask(mean, FRAME_WIDTH)
    box, edges = _face_box(mask)
    faces = same_tone(np.stack([np.moveaxis(p.texture[box], -1, 0) for p in neutral]), mask[box])
    shape_mean, shape_basis, shape_codes = principal_components(
        np.stack([p.field for p in neutral]), COMPONENTS["shape"]
    )
    texture_mean, texture_basis, texture_codes = principal_components(faces, COMPONENTS["texture"])
    surround = principal_components(np.stack([_surround(p) for p in neutral]), COMPONENTS["surround"])
    regions = region_masks(mean, FRAME_WIDTH)
    grid_size = shape_mean.shape[-1]
    arrays = {
        "depth": mean_depth(mean),
        "shape_mean": shape_mean, "shape_basis": shape_basis, "shape_codes": shape_codes,
        "texture_mean": texture_mean, "texture_basis": texture_basis, "texture_codes": texture_codes,
        "surround_mean": surround[0], "surround_basis": surround[1], "surround_codes": surround[2],
        "regions": regions[:, box[0], box[1]],
        "regions_grid": np.stack([cv2.resize(cv2.GaussianBlur(r, (0, 0), 4), (grid_size, grid_size)) for r in regions]),
        "face_mask": mask[box], "face_box": edges, "landmarks": mean[:, :2], "five": five,
        **expression_components(neutral, smiling, box, COMPONENTS["expression"]),
    }  # fmt: skip
    tensors = {name: torch.from_numpy(np.ascontiguousarray(value, np.float32)) for name, value in arrays.items()}
    return MorphableModel(group=torch.from_numpy(group.astype(np.int64)), **tensors)


def same_tone(faces: Array, mask: Array) -> Array:
    """Bring the skin of all faces (P, 3, h, w) to one tone, so that regions of different people fit together.

    Nothing is lost: rendering gives a face the tone of the neck and ears that it is drawn on.
    """
    height, width = mask.shape
    cheeks = mask.copy()
    cheeks[: int(0.42 * height)] = cheeks[int(0.68 * height) :] = 0
    cheeks[:, int(0.38 * width) : int(0.62 * width)] = 0
    tone = (faces * cheeks).sum((2, 3)) / cheeks.sum() + TONE_OFFSET
    gain = tone.mean(0) / tone
    return np.asarray((faces + TONE_OFFSET) * gain[:, :, None, None] - TONE_OFFSET, np.float32)


def detector_points(neutral: list[Registered], mean: Array) -> Array:
    """Five alignment points in the frame as the detector places them on the mean face (the mesh's stand in for none)."""
    picture = np.mean([p.texture for p in neutral], 0)
    large = cv2.resize((picture * 255).clip(0, 255).astype(np.uint8), (512, 512), interpolation=cv2.INTER_CUBIC)
    found = load_detector().detect(large)
    return np.asarray(found[0].points, np.float32) / np.float32(512) if found else five_points(mean)


def build(output: Path) -> MorphableModel:
    """Build the model from the verified photographs of the manifest and write it."""
    first, second = files("london_neutral", split="train"), files("london_smiling", split="train")
    images_n, meshes_n = read_photographs([p for p in first if p.suffix == ".jpg"])
    images_s, meshes_s = read_photographs([p for p in second if p.suffix == ".jpg"])
    people = [p.name[:3] for p in first if p.suffix == ".jpg"]
    meshes_n, meshes_s = [_centred_depth(m) for m in meshes_n], [_centred_depth(m) for m in meshes_s]
    mean, placed_n, placed_s = mean_mesh(meshes_n, meshes_s)
    neutral = register(images_n, meshes_n, placed_n, mean)
    smiling = register(images_s, meshes_s, placed_s, mean)
    with (data_root() / "london" / "london_info.csv").open() as table:
        gender = {row["face_id"]: row["face_gender"] for row in csv.DictReader(table)}
    group = np.array([gender[p] == "female" for p in people])
    model = assemble(neutral, smiling, mean, detector_points(neutral, mean), group)
    save_model(model, output)
    return model


def main() -> None:
    """Command line of the build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=MODEL_FILE, help="where to write the model")
    output = parser.parse_args().output
    model = build(output)
    size = output.stat().st_size / 2**20
    print(f"{output.name}: {len(model.texture_codes)} people, {size:.1f} MiB")


if __name__ == "__main__":
    main()
