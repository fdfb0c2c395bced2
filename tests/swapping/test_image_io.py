"""Reading pictures: every unusual or damaged file is either read rightly or refused by type."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from mfs_lib.errors import InputError
from mfs_lib.swapping.image_io import as_image, read_image

Pixels = npt.NDArray[np.uint8]


def png_header(width: int, height: int) -> bytes:
    """A PNG file that claims a size and holds no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def encoded(pixels: Pixels, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


# ------------------------------------------------------------------ right results for unusual files


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_gives_the_upright_picture(tmp_path: Path, colours: Pixels, orientation: int) -> None:
    # What a camera stores so that the viewer, following the tag, shows `colours`.
    store = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(store(colours))).save(path, exif=exif)
    loaded = read_image(path)
    np.testing.assert_array_equal(loaded.pixels, colours)
    assert bool(loaded.notes) == (orientation != 1)


def test_grey_and_one_bit(tmp_path: Path, colours: Pixels) -> None:
    grey = colours[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png").pixels, np.dstack([grey] * 3))
    Image.fromarray(grey > 100).save(tmp_path / "bit.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bit.png").pixels[..., 1], np.where(grey > 100, 255, 0))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0, 65_535, 24 * 40).reshape(24, 40).astype(np.uint16)
    path = tmp_path / f"deep{suffix}"
    Image.fromarray(values).save(path)
    loaded = read_image(path)
    np.testing.assert_array_equal(loaded.pixels[..., 2], np.rint(values / 257).astype(np.uint8))
    assert any("16-bit" in note for note in loaded.notes)


def test_sixteen_bit_colour_is_right_within_one_level(tmp_path: Path) -> None:
    import cv2

    values = np.linspace(0, 65_535, 24 * 40 * 3).reshape(24, 40, 3).astype(np.uint16)
    assert cv2.imwrite(str(tmp_path / "deep.png"), values[..., ::-1])
    found = read_image(tmp_path / "deep.png").pixels.astype(int)
    assert np.abs(found - np.rint(values / 257)).max() <= 1


def test_float_tiff_in_range_is_read_and_outside_refused(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 24 * 40, dtype=np.float32).reshape(24, 40)
    Image.fromarray(ramp).save(tmp_path / "f.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "f.tif").pixels[..., 0], np.rint(ramp * 255).astype(np.uint8))
    for bad in (ramp * 3, np.full_like(ramp, np.nan)):
        Image.fromarray(bad).save(tmp_path / "bad.tif")
        with pytest.raises(InputError, match="floating-point"):
            read_image(tmp_path / "bad.tif")


def test_thirty_two_bit_values_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((9, 9), 2**24, dtype=np.int32)).save(tmp_path / "i.tif")
    with pytest.raises(InputError, match="32-bit"):
        read_image(tmp_path / "i.tif")


@pytest.mark.parametrize("grey", [False, True])
def test_alpha_is_kept_and_hidden_colours_are_not(tmp_path: Path, colours: Pixels, grey: bool) -> None:
    alpha = np.full(colours.shape[:2], 255, dtype=np.uint8)
    alpha[:5], alpha[5:8] = 0, 100
    layers = np.dstack([colours[..., :1] if grey else colours, alpha])
    Image.fromarray(layers).save(tmp_path / "a.png")
    loaded = read_image(tmp_path / "a.png")
    assert loaded.alpha is not None
    np.testing.assert_array_equal(loaded.alpha, alpha)
    assert (loaded.pixels[:5] == 255).all()
    expected = np.dstack([colours[..., 0]] * 3) if grey else colours
    np.testing.assert_array_equal(loaded.pixels[5:], expected[5:])


def test_opaque_alpha_counts_as_none(tmp_path: Path, colours: Pixels) -> None:
    Image.fromarray(np.dstack([colours, np.full(colours.shape[:2], 255, np.uint8)])).save(tmp_path / "a.png")
    loaded = read_image(tmp_path / "a.png")
    assert loaded.alpha is None
    np.testing.assert_array_equal(loaded.pixels, colours)


def test_palette_with_transparent_entry(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 1), 1)
    image.save(tmp_path / "p.png", transparency=1)
    loaded = read_image(tmp_path / "p.png")
    assert loaded.alpha is not None
    assert loaded.alpha[1, 1] == 0
    assert tuple(loaded.pixels[0, 0]) == (255, 0, 0)


def test_cmyk_jpeg_has_the_right_colours(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (255, 0, 0)).convert("CMYK").save(tmp_path / "c.jpg", quality=95)
    red, green, blue = (int(v) for v in read_image(tmp_path / "c.jpg").pixels[8, 8])
    assert red > 245
    assert green < 10
    assert blue < 10


def test_srgb_profile_changes_nothing(tmp_path: Path, colours: Pixels) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(colours).save(tmp_path / "srgb.png", icc_profile=srgb)
    same = read_image(tmp_path / "srgb.png")
    np.testing.assert_array_equal(same.pixels, colours)
    assert not same.notes


@pytest.mark.parametrize("kind", ["lab", "noise"])
def test_unusable_colour_profile_is_noted_and_ignored(tmp_path: Path, colours: Pixels, kind: str) -> None:
    profile = b"not a profile at all" * 10
    if kind == "lab":  # a valid profile, but not one of an RGB picture
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.fromarray(colours).save(tmp_path / "x.png", icc_profile=profile)
    loaded = read_image(tmp_path / "x.png")
    np.testing.assert_array_equal(loaded.pixels, colours)
    assert any("profile" in note for note in loaded.notes)


def test_other_profiles_are_converted(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (200, 120, 90)).save(tmp_path / "linear.png", icc_profile=_gamma_one_profile())
    loaded = read_image(tmp_path / "linear.png")
    # Linear light 200/255 is sRGB 228, 120/255 is 182, 90/255 is 160.
    assert np.abs(loaded.pixels[4, 4].astype(int) - (228, 182, 160)).max() <= 3
    assert "colours were converted to sRGB" in loaded.notes


def _gamma_one_profile() -> bytes:
    """littleCMS's sRGB profile with its tone curves replaced by the straight line: linear-light sRGB."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for index in range(struct.unpack_from(">I", data, 128)[0]):
        name, offset, size = struct.unpack_from(">4sII", data, 132 + 12 * index)
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            data[offset : offset + size] = b"\0" * size
            # "curv" with no entries is the identity.
            struct.pack_into(">4sII", data, offset, b"curv", 0, 0)
        elif name == b"desc":
            old, new = ("sRGB".encode("utf-16-be"), "line".encode("utf-16-be"))
            data[offset : offset + size] = data[offset : offset + size].replace(old, new)
    return bytes(data)


def test_animation_gives_its_first_picture_and_a_note(tmp_path: Path, colours: Pixels) -> None:
    frames = [Image.fromarray(colours), Image.fromarray(colours[::-1].copy())]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    loaded = read_image(tmp_path / "a.webp")
    np.testing.assert_array_equal(loaded.pixels, colours)
    assert any("2 pictures" in note for note in loaded.notes)


def test_one_pixel_is_a_picture(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "one.png")
    assert read_image(tmp_path / "one.png").pixels.tolist() == [[[1, 2, 3]]]


def test_content_decides_not_the_name(tmp_path: Path, colours: Pixels) -> None:
    (tmp_path / "really_png.jpg").write_bytes(encoded(colours, "PNG"))
    np.testing.assert_array_equal(read_image(tmp_path / "really_png.jpg").pixels, colours)


def test_damaged_exif_is_not_fatal(tmp_path: Path, colours: Pixels) -> None:
    Image.fromarray(colours).save(tmp_path / "e.png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    np.testing.assert_array_equal(read_image(tmp_path / "e.png").pixels, colours)


# ------------------------------------------------------------------ refused by type


def test_what_is_no_picture_file(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("I am no picture\n" * 50)
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    (tmp_path / "page.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    os.mkfifo(tmp_path / "pipe.png")
    cases = {
        "nothing.jpg": "does not exist",
        "empty.jpg": "is empty",
        "text.jpg": "not a picture",
        "phone.heic": "HEIC",
        "page.eps": "not a picture",
        "pipe.png": "not an ordinary file",
        "": "is a folder",
        "x" * 5000: "can't be looked up|does not exist",
        "zero\0byte.png": "can't be looked up|does not exist",
    }
    for name, reason in cases.items():
        with pytest.raises(InputError, match=reason):
            read_image(tmp_path / name if name else tmp_path)


def test_unreadable_file(tmp_path: Path, colours: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encoded(colours, "PNG"))
    # Permission bits don't bind an administrator, who may run the tests.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="may not be read"):
        read_image(path)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, astronaut: Pixels, form: str, keep: float) -> None:
    data = encoded(astronaut[:96, :96], form)
    path = tmp_path / "cut.img"
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(InputError):
        read_image(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), form=st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "GIF"]))
def test_any_damage_gives_a_picture_or_an_input_error(
    tmp_path: Path, colours: Pixels, data: st.DataObject, form: str
) -> None:
    content = bytearray(encoded(colours, form))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(1, len(content)))]
    (tmp_path / "damaged").write_bytes(content)
    try:
        loaded = read_image(tmp_path / "damaged", max_megapixels=4)
    except InputError:
        return
    assert loaded.pixels.dtype == np.uint8
    assert loaded.pixels.ndim == 3


@pytest.mark.parametrize(
    ("side", "reason"), [(12_000, "144 megapixels"), (40_000, "megapixels"), (2**31 - 1, "bomb.png")]
)
def test_bombs_are_refused_from_their_header(tmp_path: Path, side: int, reason: str) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    with pytest.raises(InputError, match=reason):
        read_image(tmp_path / "bomb.png")


def test_limit_is_the_callers(tmp_path: Path, colours: Pixels) -> None:
    (tmp_path / "p.png").write_bytes(encoded(colours, "PNG"))
    pixels = colours.shape[0] * colours.shape[1]
    assert read_image(tmp_path / "p.png", max_megapixels=pixels / 1e6).size == (40, 24)
    with pytest.raises(InputError, match="shrink it first"):
        read_image(tmp_path / "p.png", max_megapixels=(pixels - 1) / 1e6)


# ------------------------------------------------------------------ arrays and Pillow images


def test_arrays_and_pillow_images(colours: Pixels) -> None:
    np.testing.assert_array_equal(as_image(colours).pixels, colours)
    np.testing.assert_array_equal(as_image(colours[:, ::-1]).pixels, colours[:, ::-1])
    np.testing.assert_array_equal(as_image(colours[..., 0]).pixels[..., 2], colours[..., 0])
    np.testing.assert_array_equal(as_image(Image.fromarray(colours)).pixels, colours)


def test_wrong_arrays_are_refused(colours: Pixels) -> None:
    for bad in (colours / 255.0, colours[None], colours[..., :2], colours[:0], 7, None):
        with pytest.raises(InputError):
            as_image(bad)  # type: ignore[arg-type]
