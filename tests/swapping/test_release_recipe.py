"""The release's recipe from photographs to a photograph, with networks of the release's form and random weights.

Most tests use thin networks; the last ones put files of the release's full layout into a mirror and run the command.
"""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mfs_lib import cli
from mfs_lib.errors import AssetError, InputError
from mfs_lib.faces.alignment import TEMPLATE, align, arcface_view, fit_similarity, invert, transform_points
from mfs_lib.faces.detection import Face
from mfs_lib.faces.release_alignment import estimate_release, fit_affine, release_crop, release_template
from mfs_lib.networks.identity import IdentityNetwork
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.swapping import Swapper, read_provenance
from mfs_lib.swapping.recipe import OFFICIAL_TEMPLATE, RecipeName
from mfs_lib.swapping.release_paste import release_paste
from mfs_lib.weights import registry

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def official() -> tuple[MobileFaceSwap, IdentityNetwork]:
    """Networks of the release's interface (512 numbers, 512 x 7 x 7 features), thin and untrained."""
    torch.manual_seed(0)
    config = MobileFaceSwapConfig(
        channels=(8, 8, 8, 8, 8),
        mask_channels=(8, 8, 4, 4, 2),
        embedding_dim=512,
        feature_channels=512,
        predictor_width=8,
    )
    return MobileFaceSwap(config).eval(), IdentityNetwork(layers=(1, 1, 1, 1)).eval()


@pytest.fixture(scope="module")
def hopper() -> Pixels:
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as stream:
        return np.array(Image.open(stream).convert("RGB"))


class OneFace:
    """A detector that knows where the face is."""

    def __init__(self, face: Face) -> None:
        self.face = face

    def detect(self, image: Pixels) -> list[Face]:
        return [self.face]


@pytest.fixture
def release_swapper(
    official: tuple[MobileFaceSwap, IdentityNetwork], small_face: Face
) -> Callable[[RecipeName], Swapper]:
    def make(recipe: RecipeName) -> Swapper:
        return Swapper(
            detector=OneFace(small_face),
            identity=official[1],
            student=official[0],
            crop_size=224,
            recipe=recipe,
            template=OFFICIAL_TEMPLATE,
            name="mobilefaceswap-224",
        )

    return make


def inputs_of(network: nn.Module, run: Callable[[], object]) -> Tensor:
    """What `network` was given during `run`."""
    seen: list[Tensor] = []
    handle = network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    run()
    handle.remove()
    (only,) = seen
    return only


def as_batch(crop: Pixels) -> Tensor:
    return torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255


def test_every_step_is_the_releases(
    release_swapper: Callable[[RecipeName], Swapper], astronaut: Pixels, small_face: Face
) -> None:
    swapper = release_swapper("release")
    matrix = estimate_release(small_face.points, 224)
    crop = release_crop(astronaut, matrix, 224)

    seen = inputs_of(swapper.identity, lambda: swapper.prepare(astronaut))
    torch.testing.assert_close(seen, as_batch(cv2.resize(crop, (112, 112))), rtol=0, atol=1e-6)

    person = swapper.prepare(astronaut)
    torch.testing.assert_close(inputs_of(person.network, lambda: swapper.swap(person, astronaut)), as_batch(crop))

    with torch.no_grad():
        output = person.network(as_batch(crop))
    wanted, coverage = astronaut.copy(), np.zeros((512, 512), dtype=np.uint8)
    face, mask = (x[0].permute(1, 2, 0).numpy() for x in (output.result, output.mask))
    release_paste(wanted, face, mask[..., 0], matrix, coverage=coverage)
    result = swapper.swap(person, astronaut)
    np.testing.assert_array_equal(result.image, wanted)
    np.testing.assert_array_equal(result.mask, coverage)
    assert (wanted != astronaut).any()


def test_our_recipe_keeps_the_template_of_the_releases_weights(
    release_swapper: Callable[[RecipeName], Swapper], astronaut: Pixels, small_face: Face
) -> None:
    swapper = release_swapper("ours")
    person = swapper.prepare(astronaut)
    crop = inputs_of(person.network, lambda: swapper.swap(person, astronaut))
    matrix = fit_similarity(small_face.points, release_template(224))
    torch.testing.assert_close(crop, as_batch(align(astronaut, matrix, 224)), rtol=0, atol=1.01 / 255)
    assert swapper.swap(person, astronaut, detail="plain").image.shape == astronaut.shape


def test_release_recipe_keeps_the_template_of_our_students(
    make_swapper: Callable[..., Swapper], astronaut: Pixels, small_face: Face
) -> None:
    ours = make_swapper()
    swapper = Swapper(detector=ours.detector, identity=ours.identity, student=ours.student, recipe="release")
    crop = release_crop(astronaut, fit_affine(small_face.points, TEMPLATE * 128), 128)
    seen = inputs_of(swapper.identity, lambda: swapper.prepare(astronaut))
    torch.testing.assert_close(seen, arcface_view(as_batch(crop)))
    result = swapper.swap(astronaut, astronaut)
    assert (result.image != astronaut).any()
    assert (result.image != ours.swap(astronaut, astronaut).image).any()


def test_pixels_outside_the_crop_are_untouched(
    release_swapper: Callable[[RecipeName], Swapper], astronaut: Pixels, small_face: Face
) -> None:
    result = release_swapper("release").swap(astronaut, astronaut)
    y, x = np.mgrid[0:512, 0:512]
    inside = transform_points(estimate_release(small_face.points, 224), np.dstack([x, y]))
    outside = (inside < 4).any(axis=2) | (inside > 219).any(axis=2)
    np.testing.assert_array_equal(result.image[outside], astronaut[outside])
    np.testing.assert_array_equal(result.image[result.mask == 0], astronaut[result.mask == 0])
    middle = transform_points(invert(estimate_release(small_face.points, 224)), np.array([[112.0, 112.0]]))[0].round()
    assert result.mask[int(middle[1]), int(middle[0])] == 255
    assert 0.02 < (result.mask > 0).mean() < 0.3


def test_detail_is_refused_before_the_work(release_swapper: Callable[[RecipeName], Swapper], astronaut: Pixels) -> None:
    with pytest.raises(InputError, match="detail"):
        release_swapper("release").swap("missing.png", astronaut, detail="plain")


def test_unknown_recipe_and_weights_are_refused() -> None:
    with pytest.raises(InputError, match="recipe must be"):
        Swapper.load(recipe="theirs")  # type: ignore[arg-type]
    with pytest.raises(AssetError, match="best"):
        Swapper.load("best")


def test_given_detector_is_used_and_not_commented(small_face: Face) -> None:
    detector = OneFace(small_face)
    swapper = Swapper.load(recipe="release", detector=detector)
    assert swapper.detector is detector
    assert swapper.notes == ()


# ------------------------------------------------------------------ files of the release's full layout

Shapes = dict[str, tuple[int, ...]]


def with_norm(shapes: Shapes, name: str, channels: int) -> None:
    shapes.update({f"{name}.{part}": (channels,) for part in ("weight", "bias", "_mean", "_variance")})


def with_conv(shapes: Shapes, name: str, *kernel: int) -> None:
    shapes.update({f"{name}.weight": kernel, f"{name}.bias": kernel[:1]})


def swapper_layout() -> Shapes:
    """Names and shapes in MobileFaceSwap_224.pdparams."""
    shapes: Shapes = {}
    encoder = (3, 32, 64, 128, 256)
    decoder = (512, 512, 256, 128)
    for kind, inputs, outputs in (
        ("Encoder", encoder, (32, 64, 128, 256, 512)),
        ("Decoder", decoder, (256, 128, 64, 32)),
    ):
        for i, (a, b) in enumerate(zip(inputs, outputs, strict=True)):
            name = f"{kind}Modulation.{i}"
            shapes |= {f"{name}.weight": (b, a, 1, 1), f"{name}.style.weight": (512, a), f"{name}.style.bias": (a,)}
    with_conv(shapes, "predictor.first", 512, 512, 4, 4)
    with_conv(shapes, "predictor.first_decoder", 512, 512, 2, 2)
    with_norm(shapes, "predictor.norm", 512)
    with_norm(shapes, "predictor.decoder_norm", 512)
    for kind, chain in (("encoder", encoder[::-1]), ("decoder", decoder)):
        for i, (a, b) in enumerate(zip((512, *chain[:-1]), chain, strict=True)):
            with_conv(shapes, f"predictor.{kind}.{i}.conv", b, a, 3, 3)
            with_norm(shapes, f"predictor.{kind}.{i}.norm", b)
            with_conv(shapes, f"predictor.{kind}.{i}.weight", b, b, 3, 3)
    with_conv(shapes, "final.1", 8, 32, 1, 1)
    with_norm(shapes, "final.2", 8)
    with_conv(shapes, "final.4", 3, 8, 3, 3)
    with_norm(shapes, "final.5", 3)
    with_conv(shapes, "final.7", 3, 3, 3, 3)
    for i, (a, b) in enumerate(((512, 128), (128, 64), (64, 32), (32, 8), (8, 2))):
        with_conv(shapes, f"mask.{i}.1", a, 1, 3, 3)
        with_conv(shapes, f"mask.{i}.2", b, a, 1, 1)
        with_norm(shapes, f"mask.{i}.3", b)
    with_conv(shapes, "mask.5", 1, 2, 3, 3)
    return shapes


def identity_layout() -> Shapes:
    """Names and shapes in arcface.pdparams."""
    shapes: Shapes = {
        "conv1.weight": (64, 3, 3, 3),
        "prelu._weight": (1,),
        "fc.weight": (25088, 512),
        "fc.bias": (512,),
    }
    for name, channels in (("bn1", 64), ("bn2", 512), ("bn3", 512)):
        with_norm(shapes, name, channels)
    before = 64
    for stage, (channels, blocks) in enumerate(((64, 3), (128, 4), (256, 23), (512, 3)), start=1):
        for j in range(blocks):
            block, inputs = f"layer{stage}.{j}", before if j == 0 else channels
            shapes[f"{block}.conv1.weight"] = (inputs, inputs, 3, 3)
            shapes[f"{block}.conv2.weight"] = (channels, inputs, 3, 3)
            for name, width in (("bn0", inputs), ("bn1", inputs), ("bn2", channels)):
                with_norm(shapes, f"{block}.{name}", width)
            small = channels // 16
            shapes |= {f"{block}.prelu._weight": (1,), f"{block}.se.fc.1._weight": (1,)}
            shapes |= {f"{block}.se.fc.0.weight": (channels, small), f"{block}.se.fc.0.bias": (small,)}
            shapes |= {f"{block}.se.fc.2.weight": (small, channels), f"{block}.se.fc.2.bias": (channels,)}
            if j == 0 and stage > 1:
                shapes[f"{block}.downsample.0.weight"] = (channels, inputs, 1, 1)
                with_norm(shapes, f"{block}.downsample.1", channels)
        before = channels
    return shapes


def write_pdparams(path: Path, shapes: Shapes, seed: int) -> tuple[int, int]:
    """A file as Paddle writes it, with random arrays: (number of arrays, number of values)."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, object] = {}
    for name, shape in shapes.items():
        fan = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
        array = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.1 if len(shape) == 1 else fan**-0.5)
        positive = name.endswith(("_variance", "_weight")) or (len(shape) == 1 and name.endswith(".weight"))
        arrays[name] = 0.7 + np.abs(array) if positive else array
    values = sum(int(np.prod(shape)) for shape in shapes.values())
    with path.open("wb") as stream:
        pickle.dump({**arrays, "StructuredToParameterName@@": {}}, stream, protocol=4)
    return len(shapes), values


@pytest.fixture(scope="module")
def full_release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A mirror with both files of the release, whose terms are agreed to, and a cache that holds YuNet."""
    folder = tmp_path_factory.mktemp("full")
    mirror, cache = folder / "mirror", folder / "cache"
    mirror.mkdir()
    yunet = registry.fetch("yunet")
    kept = cache / yunet.relative_to(registry.cache_folder())
    kept.parent.mkdir(parents=True)
    shutil.copy(yunet, kept)
    assert write_pdparams(mirror / "MobileFaceSwap_224.pdparams", swapper_layout(), 1) == (167, 20_706_030)
    assert write_pdparams(mirror / "arcface.pdparams", identity_layout(), 2) == (691, 52_244_159)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFS_MIRROR", str(mirror))
        patch.setenv("MFS_CACHE", str(cache))
        patch.setenv("MFS_OFFLINE", "1")
        yield mirror
    shutil.rmtree(folder)


def test_command_with_the_releases_weights_and_recipe(
    full_release: Path, astronaut: Pixels, hopper: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(astronaut).save(tmp_path / "astronaut.png")
    Image.fromarray(hopper).save(tmp_path / "hopper.png")
    target = str(tmp_path / "astronaut.png")
    arguments = ["--weights", "mobilefaceswap-224", "--recipe", "release"]

    assert cli.main(["swap", "-s", target, "-t", target, "-o", str(tmp_path / "o.png"), *arguments]) == 1
    assert "--agree" in capsys.readouterr().err  # nothing is used before its terms are agreed to
    assert cli.main(["fetch", "mobilefaceswap-224", "mobilefaceswap-arcface", "--agree", "--offline"]) == 0

    results = []
    for source in ("hopper", "astronaut"):
        out = tmp_path / f"from_{source}.png"
        assert cli.main(["swap", "-s", str(tmp_path / f"{source}.png"), "-t", target, "-o", str(out), *arguments]) == 0
        results.append(np.asarray(Image.open(out)))
        found = read_provenance(out)
        assert found is not None
        assert "mobilefaceswap-224" in found.system
    assert "SCRFD is not ready" in capsys.readouterr().out
    changed = (results[0] != results[1]).any(axis=2)
    assert changed.sum() > 1000  # another person, another face

    # The face lies around (220, 125) and is about 100 pixels wide: far from it nothing changes.
    far = np.ones((512, 512), dtype=bool)
    far[:300, 80:360] = False
    for result in results:
        np.testing.assert_array_equal(result[far], astronaut[far])
        assert (result[100:150, 195:250] != astronaut[100:150, 195:250]).any(axis=2).mean() > 0.9


def test_releases_weights_with_our_recipe(full_release: Path, astronaut: Pixels) -> None:
    for name in ("mobilefaceswap-224", "mobilefaceswap-arcface"):
        registry.fetch(name, agree=True, offline=True)
    swapper = Swapper.load("mobilefaceswap-224")
    assert (swapper.crop_size, swapper.template, swapper.notes) == (224, OFFICIAL_TEMPLATE, ())
    result = swapper.swap(astronaut, astronaut)
    assert result.notes == ()
    assert (result.image[100:150, 195:250] != astronaut[100:150, 195:250]).any()
    np.testing.assert_array_equal(result.image[result.mask == 0], astronaut[result.mask == 0])
