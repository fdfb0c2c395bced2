"""Marking a swapped picture as what it is: embedded XMP that programs read, and a label that people read.

The IPTC Digital Source Type (a controlled vocabulary that search engines and newsrooms read) has several terms near:

* ``trainedAlgorithmicMedia``: made *entirely* by a trained model. Not true of a swap: most of it is a photograph.
* ``compositeSynthetic``: a mix of elements of which at least one is synthetic. True, but general.
* ``compositeWithTrainedAlgorithmicMedia`` ("edited using generative AI"): an existing picture of which a part was
  replaced by a trained model, as inpainting does. IPTC added it in 2023 for where the general term is not specific
  enough. This is what a face swap is, and what we write.

The mark is a statement, not a lock: it can be removed, and it is not signed. Sources: IPTC NewsCodes "Digital Source
Type" (cv.iptc.org/newscodes/digitalsourcetype) and IPTC Photo Metadata Standard 2025.1 (AI System Used).

Pillow is imported where it is used: a video needs the statement, not the library (10 MB).
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from mfs_lib import __version__
from mfs_lib.errors import InputError
from mfs_lib.swapping.video_mark import VIDEO_SUFFIXES, read_video_xmp

DIGITAL_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SOURCE_TYPE = DIGITAL_SOURCE_TYPES + "compositeWithTrainedAlgorithmicMedia"
SYNTHETIC_TYPES = frozenset(
    DIGITAL_SOURCE_TYPES + term
    for term in ("compositeWithTrainedAlgorithmicMedia", "compositeSynthetic", "trainedAlgorithmicMedia")
)
SOFTWARE = f"mfs_lib {__version__}"
LABEL_TEXT = "AI-edited: face swapped"

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC_EXT = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_MAX_XMP = 1_000_000  # characters; ordinary packets have a few thousand


@dataclass(frozen=True)
class Provenance:
    """What a picture's XMP says about its making. Unsigned: a hint, not proof.

    Attributes:
        source_type: URI of the IPTC Digital Source Type, or "".
        software: xmp:CreatorTool, or "".
        system: Iptc4xmpExt:AISystemUsed, or "".
    """

    source_type: str
    software: str
    system: str = ""

    @property
    def synthetic(self) -> bool:
        """Whether the source type says that a trained model made the picture or a part of it."""
        return self.source_type in SYNTHETIC_TYPES


def swap_xmp(system: str = "MobileFaceSwap") -> str:
    """XMP packet for a swapped picture; the same text for the same arguments (no date), so outputs are repeatable.

    Args:
        system: name of the model that made the face.
    """
    for prefix, uri in (("x", "adobe:ns:meta/"), ("rdf", _RDF), ("xmp", _XMP), ("Iptc4xmpExt", _IPTC_EXT)):
        ElementTree.register_namespace(prefix, uri)
    meta = ElementTree.Element("{adobe:ns:meta/}xmpmeta")
    rdf = ElementTree.SubElement(meta, f"{{{_RDF}}}RDF")
    about = ElementTree.SubElement(rdf, f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
    for namespace, name, value in (
        (_IPTC_EXT, "DigitalSourceType", SOURCE_TYPE),
        (_IPTC_EXT, "AISystemUsed", system),
        (_IPTC_EXT, "AISystemVersionUsed", __version__),
        (_XMP, "CreatorTool", SOFTWARE),
    ):
        ElementTree.SubElement(about, f"{{{namespace}}}{name}").text = value
    body = ElementTree.tostring(meta, encoding="unicode")
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{body}<?xpacket end="w"?>'


def read_provenance(path: str | os.PathLike[str]) -> Provenance | None:
    """What a picture or video file says about its making.

    Args:
        path: picture in any readable format, or a video with one of `VIDEO_SUFFIXES`.

    Returns:
        The statement, or None when the file has no XMP or none of the fields in it.

    Raises:
        InputError: not a readable picture or video.
    """
    if Path(path).suffix.lower() in VIDEO_SUFFIXES:
        try:
            return parse_xmp(read_video_xmp(path))
        except OSError as error:
            raise InputError(f"{path} is not a readable video ({error.strerror or error})") from error
    from PIL import Image

    from mfs_lib.swapping.image_io import embedded_xmp, readable_formats

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no pixel is decoded here, so neither size nor damaged EXIF matters
            with Image.open(Path(path), formats=readable_formats()) as image:
                return parse_xmp(embedded_xmp(image))
    except Exception as error:  # see image_io.read_image: decoders raise almost any type on damaged files
        raise InputError(f"{path} is not a readable picture ({error})") from error


def parse_xmp(packet: str | None) -> Provenance | None:
    """Find our three fields in an XMP packet, as elements or as attributes.

    Returns:
        None for no packet, one that is not well-formed, or one without the fields. Packets that declare entities
        are not parsed at all: legitimate XMP has none, and expanding them is an attack on memory.
    """
    if not packet or len(packet) > _MAX_XMP or any(word in packet.upper() for word in ("<!DOCTYPE", "<!ENTITY")):
        return None
    start, end = packet.find("<"), packet.rfind(">")
    try:
        root = ElementTree.fromstring(packet[start : end + 1])
    except ElementTree.ParseError:
        return None
    found = [
        _field(root, f"{{{space}}}{name}")
        for space, name in ((_IPTC_EXT, "DigitalSourceType"), (_XMP, "CreatorTool"), (_IPTC_EXT, "AISystemUsed"))
    ]
    return Provenance(*found) if any(found) else None


def _field(root: ElementTree.Element, name: str) -> str:
    """Value of the first element or attribute of that qualified name, or ""."""
    for element in root.iter():
        if element.tag == name:
            return (element.text or element.get(f"{{{_RDF}}}resource") or "").strip()
        if name in element.attrib:
            return element.attrib[name].strip()
    return ""


def draw_label(pixels: npt.NDArray[np.uint8], text: str = LABEL_TEXT) -> npt.NDArray[np.uint8]:
    """A copy of a picture with a readable label in its lower left corner.

    Args:
        pixels: (H, W, 3) uint8.
        text: what the label says.

    Returns:
        (H, W, 3) uint8. White text on a dark band, 3 % of the shorter side but at least 12 px high, made smaller
        where the picture is too narrow for it.
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels)
    size = max(12.0, 0.03 * min(height, width))
    draw = ImageDraw.Draw(image)
    length = draw.textlength(text, font=ImageFont.load_default(size))
    size = max(4.0, min(size, size * 0.9 * width / length))
    font = ImageFont.load_default(size)
    pad = max(1, round(0.35 * size))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    band = (0, height - round(bottom - top) - 2 * pad, round(right - left) + 2 * pad, height)
    draw.rectangle(band, fill=(24, 24, 24))
    draw.text((pad - left, band[1] + pad - top), text, font=font, fill=(255, 255, 255))
    return np.array(image)
