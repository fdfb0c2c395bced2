"""Reading any photograph safely, and writing a picture whole or not at all.

Choices, made once and for every caller:

* **Upright.** The EXIF orientation is applied on reading. Nothing else of the EXIF block is kept: place, camera and
  owner of the target say nothing true about a swapped picture, so an output carries our own mark and no EXIF.
* **Eight bits, RGB, sRGB.** Grey, palette, CMYK and 16-bit pictures are converted (16 bits by division by 257, so that
  65535 becomes 255); an embedded colour profile is converted to sRGB, and outputs are untagged, which readers
  take as sRGB.
* **Alpha is kept beside the colours**, not composited: formats with alpha get it back, JPEG is laid on white.
  Colours that are fully transparent are replaced by white on reading, so that nothing hidden reaches an output.
* **Animations and several pages**: the first picture is used and a note says so.
* **Size**: at most `MAX_MEGAPIXELS`, read from the header before any pixel is decoded; a picture of that size needs
  about 2 GB of memory (measured: 2.5 GB for the whole swap of a 100-megapixel JPEG).
"""

from __future__ import annotations

import io
import os
import secrets
import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError

from mfs_lib.errors import InputError, OutputError

UInt8Image: TypeAlias = npt.NDArray[np.uint8]
"""(H, W, 3) RGB in [0, 255]."""

ImageInput: TypeAlias = "str | os.PathLike[str] | UInt8Image | Image.Image"
"""What the public functions take for a picture: a path, a uint8 array or a Pillow image."""

MAX_MEGAPIXELS = 128.0
"""Largest picture that is decoded unless the caller allows more (10^6 pixels)."""

HARD_MEGAPIXELS = 178.0
"""Above this Pillow itself refuses (its decompression-bomb guard), whatever the caller allows."""

_READABLE = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "AVIF", "JPEG2000")
"""Pillow formats that may be opened. A closed list: formats that start other programs (EPS) stay out."""

WRITABLE = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
"""Output formats by suffix: those that can carry both the picture and the mark."""

_MAX_SIDE = {"JPEG": 65_535, "WEBP": 16_383}  # limits of the formats themselves
_XMP_TIFF_TAG = 700
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class LoadedImage:
    """A picture ready for the networks.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright, sRGB.
        alpha: (H, W) uint8 opacity, or None when the picture is opaque.
        notes: what was unusual about the file and what was done about it; empty for an ordinary photograph.
    """

    pixels: UInt8Image
    alpha: UInt8Image | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[0])


@lru_cache(maxsize=1)
def readable_formats() -> tuple[str, ...]:
    """The names of the allowed formats that this build of Pillow can decode."""
    Image.init()  # registers every plugin; Pillow looks only through the common ones by itself
    return tuple(form for form in _READABLE if form in Image.OPEN)


def read_image(path: str | os.PathLike[str], *, max_megapixels: float = MAX_MEGAPIXELS) -> LoadedImage:
    """Read a picture file into upright 8-bit sRGB, with its alpha kept aside.

    Args:
        path: file of one of the `readable_formats`; the content decides, not the name.
        max_megapixels: refuse larger pictures before decoding them, in 10^6 pixels, at most `HARD_MEGAPIXELS`.

    Raises:
        InputError: the file is missing, a folder, empty, no picture, cut off, damaged or too large.
    """
    file = Path(path)
    _check_file(file)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with Image.open(file, formats=readable_formats()) as image:
                _check_megapixels(image.size, max_megapixels, name=str(file))
                loaded = _normalise(image)
        return replace(loaded, notes=(*loaded.notes, *_warning_notes(caught)))
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{file} is larger than {HARD_MEGAPIXELS:g} megapixels: shrink it first") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{file} is not a picture that can be read{_hint(file)}") from error
    except MemoryError as error:
        raise InputError(f"{file} does not fit into memory: shrink it first") from error
    except Exception as error:
        # Pillow's decoders answer damaged data with almost any exception type (OSError, SyntaxError, ValueError,
        # struct.error, IndexError, ...). All of them mean the same to the caller, and none is swallowed.
        raise InputError(f"{file} is damaged or cut off ({error}): get a complete copy of it") from error


def as_image(source: ImageInput, *, max_megapixels: float = MAX_MEGAPIXELS) -> LoadedImage:
    """Accept a path, a Pillow image or an array as a picture.

    Args:
        source: a path (see `read_image`); a Pillow image; or a uint8 array (H, W) grey, (H, W, 3) RGB or
            (H, W, 4) RGB with straight alpha.
        max_megapixels: see `read_image`; applies to every kind.

    Raises:
        InputError: anything else, or what `read_image` raises.
    """
    if isinstance(source, str | os.PathLike):
        return read_image(source, max_megapixels=max_megapixels)
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if not isinstance(source, Image.Image):
        raise InputError(f"a picture is a path, a uint8 array or a Pillow image, not {type(source).__name__}")
    _check_megapixels(source.size, max_megapixels, name="the picture")
    try:
        return _normalise(source)
    except OSError as error:  # a lazily opened Pillow image is decoded only now
        raise InputError(f"the picture is damaged or cut off ({error}): get a complete copy of it") from error


def check_output(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> Path:
    """Check, without writing, that a picture can be written to `path`; cheap enough to call before the work.

    Args:
        path: wanted file; its suffix chooses the format.
        size: (width, height) in pixels if already known.

    Returns:
        The path.

    Raises:
        OutputError: unknown suffix, missing or read-only folder, a folder or device of that name, picture too large
            for the format.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if file.is_dir():
        raise OutputError(f"{file} is a folder: give a file name such as {file / 'out.png'}")
    if suffix not in WRITABLE:
        known = ", ".join(WRITABLE)
        raise OutputError(f"can't write {file.name}: the suffix {suffix or '(none)'} is not one of {known}")
    if file.exists() and not file.is_file():
        raise OutputError(f"{file} is not an ordinary file: choose another name")
    if not file.parent.is_dir():
        raise OutputError(f"the folder {file.parent} does not exist: make it first")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {file.parent} can't be written to: choose another one")
    limit = _MAX_SIDE.get(WRITABLE[suffix])
    if size is not None and limit is not None and max(size) > limit:
        raise OutputError(f"{suffix} holds at most {limit} pixels a side, the picture is {size[0]}x{size[1]}: use .png")
    return file


def write_image(
    path: str | os.PathLike[str], pixels: UInt8Image, *, alpha: UInt8Image | None = None, xmp: str | None = None
) -> Path:
    """Write a picture under a temporary name in the same folder, read its mark back, and rename it.

    Args:
        path: file; the suffix chooses the format (`WRITABLE`). An existing file is replaced.
        pixels: (H, W, 3) uint8 sRGB.
        alpha: (H, W) uint8; JPEG has none, there the picture is laid on white.
        xmp: XMP packet to embed, or None.

    Returns:
        The path written.

    Raises:
        OutputError: it can't be written; no file of that name is created or changed, no temporary file stays.
    """
    rgb = np.asarray(pixels)
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise OutputError(f"only (H, W, 3) uint8 pictures are written, not {rgb.shape} {rgb.dtype}")
    file = check_output(path, (int(rgb.shape[1]), int(rgb.shape[0])))
    form = WRITABLE[file.suffix.lower()]
    # Not derived from the wanted name, which may already have the greatest length a name may have.
    temporary = file.parent / f".mfs-{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb") as stream:
            _encode(_with_alpha(rgb, alpha, form), stream, form, xmp)
            stream.flush()
            os.fsync(stream.fileno())
        _check_mark(temporary, form, xmp)
        os.replace(temporary, file)
    except (OSError, ValueError) as error:
        raise OutputError(f"can't write {file}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)  # also after Ctrl-C; gone already when the rename succeeded
    return file


def embedded_xmp(image: Image.Image) -> str | None:
    """The XMP packet of an opened Pillow image, or None. Same for PNG, JPEG, WebP and TIFF."""
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(packet, bytes):
        packet = packet.decode("utf-8", errors="replace")
    return packet.rstrip("\x00 \n") or None if isinstance(packet, str) else None


def _check_file(file: Path) -> None:
    """Refuse, with the reason, what can't be a picture file."""
    try:
        if file.is_dir():
            raise InputError(f"{file} is a folder, not a picture: name a file in it")
        if not file.exists():
            raise InputError(f"{file} does not exist: check the name")
        if not file.is_file():
            raise InputError(f"{file} is not an ordinary file")
        if file.stat().st_size == 0:
            raise InputError(f"{file} is empty: get a complete copy of it")
    except (OSError, ValueError) as error:  # names too long for the system, or with a zero byte
        raise InputError(f"{str(file)[:80]!r} can't be looked up: {error}") from error
    if not os.access(file, os.R_OK):
        raise InputError(f"{file} may not be read: change its permissions")


def _check_megapixels(size: tuple[int, int], limit: float, *, name: str) -> None:
    """Raise `InputError` when width x height is above the limit."""
    limit = min(limit, HARD_MEGAPIXELS)
    megapixels = size[0] * size[1] / 1e6
    if megapixels > limit:
        raise InputError(
            f"{name} has {megapixels:.0f} megapixels, more than the limit of {limit:g}: shrink it first, or raise the "
            f"limit (max_megapixels, at most {HARD_MEGAPIXELS:g}) if memory permits"
        )


def _hint(file: Path) -> str:
    """What to do about a file that no decoder knows."""
    if file.suffix.lower() in {".heic", ".heif"}:
        return ": HEIC is not supported, export it as JPEG"
    return ": use JPEG, PNG, WebP, TIFF, AVIF, BMP, GIF or PPM"


def _warning_notes(caught: list[warnings.WarningMessage]) -> list[str]:
    """Pillow's warnings as notes, without the one about size: that is checked by us, from the header."""
    texts = [str(w.message).strip() for w in caught if not issubclass(w.category, Image.DecompressionBombWarning)]
    return [text.splitlines()[0] for text in dict.fromkeys(texts) if text]


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    """A Pillow image over a user's array, after checking type and shape."""
    good = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not good or array.size == 0:
        raise InputError(
            f"a picture array must be uint8 with shape (H, W), (H, W, 3) or (H, W, 4), not {array.dtype} {array.shape}"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _normalise(image: Image.Image) -> LoadedImage:
    """Decode the first frame; turn it upright, 8-bit, RGB, sRGB; split alpha off. See the module's text."""
    notes: list[str] = []
    frames = int(getattr(image, "n_frames", 1))
    if frames > 1:
        notes.append(f"the file holds {frames} pictures, the first is used")
    image.load()
    profile = image.info.get("icc_profile")
    image = _eight_bits(_upright(image, notes), notes)
    alpha: UInt8Image | None = None
    if image.has_transparency_data:
        grey = image.mode in ("LA", "La")  # stays grey, so that a grey colour profile still fits it
        image = image.convert("LA" if grey else "RGBA")
        opacity = np.array(image.getchannel("A"))
        alpha = None if bool((opacity == 255).all()) else opacity
        image = image.convert("L" if grey else "RGB")
    pixels = np.array(_to_srgb(image, profile, notes))
    if alpha is not None:
        pixels[alpha == 0] = 255
        notes.append("transparency is kept")
    return LoadedImage(pixels=pixels, alpha=alpha, notes=tuple(notes))


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    """Apply the EXIF orientation; a damaged EXIF block is noted and taken as 'upright'."""
    try:
        turned = ImageOps.exif_transpose(image)
    except Exception as error:  # noqa: BLE001 - the parser answers damaged blocks with many exception types
        notes.append(f"its EXIF block is damaged and was ignored ({type(error).__name__})")
        return image
    if turned.size != image.size or turned.getexif().get(0x0112) != image.getexif().get(0x0112):
        notes.append("turned upright as its EXIF says")
    return turned


def _eight_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    """Scale 16-bit and [0, 1] float greys to 8 bits; 16-bit colour was already reduced by the decoder."""
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image).astype(np.float64)
        if values.min() < 0 or values.max() > 65_535:
            raise InputError("the picture has 32-bit values: convert it to 8 or 16 bits first")
        notes.append("16-bit values were scaled to 8 bits")
        return Image.fromarray(np.rint(values / 257.0).astype(np.uint8))
    if image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise InputError("the picture has floating-point values outside [0, 1]: convert it to 8 or 16 bits first")
        notes.append("floating-point values were scaled to 8 bits")
        return Image.fromarray(np.rint(values * 255.0).astype(np.uint8))
    return image


def _to_srgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """Convert to sRGB by the embedded profile where there is a usable one, else by Pillow's own formulas."""
    if image.mode in ("1", "P"):
        image = image.convert("RGB")
    if profile:
        try:
            source = ImageCms.getOpenProfile(io.BytesIO(profile))
            if "sRGB" in ImageCms.getProfileDescription(source):
                return image.convert("RGB")
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes.append("its colour profile can't be used and was ignored")
        else:
            if converted is not None:
                notes.append("colours were converted to sRGB")
                return converted
    return image.convert("RGB")


def _with_alpha(rgb: UInt8Image, alpha: UInt8Image | None, form: str) -> Image.Image:
    """The Pillow image to encode: RGB, RGBA, or laid on white where the format has no alpha."""
    if alpha is None:
        return Image.fromarray(rgb)
    if alpha.shape != rgb.shape[:2] or alpha.dtype != np.uint8:
        raise OutputError(f"alpha must be uint8 {rgb.shape[:2]}, not {alpha.dtype} {alpha.shape}")
    image = Image.fromarray(np.dstack([rgb, alpha]))
    if form != "JPEG":
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _encode(image: Image.Image, stream: io.BufferedWriter, form: str, xmp: str | None) -> None:
    """Encode into an open file; the packet goes where each format keeps XMP."""
    packet = xmp.encode("utf-8") if xmp else b""
    if form == "PNG":
        chunks = PngImagePlugin.PngInfo()
        if xmp:
            chunks.add_itxt("XML:com.adobe.xmp", xmp)
        image.save(stream, "PNG", pnginfo=chunks)
    elif form == "JPEG":
        # 4:4:4: skin tones at the edge of the swapped region must not bleed.
        image.save(stream, "JPEG", quality=_JPEG_QUALITY, subsampling=0, xmp=packet)
    elif form == "WEBP":
        image.save(stream, "WEBP", quality=_JPEG_QUALITY, xmp=packet)
    else:
        tags = {_XMP_TIFF_TAG: packet} if packet else {}
        image.save(stream, "TIFF", compression="tiff_lzw", tiffinfo=tags)


def _check_mark(file: Path, form: str, xmp: str | None) -> None:
    """Read the packet back from what was written; a mark that got lost is an error, not a detail."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(file, formats=(form,)) as image:
            found = embedded_xmp(image)
    if found != (xmp.rstrip("\x00 \n") if xmp else None):
        raise OutputError("the mark that says the picture is synthetic could not be embedded")
