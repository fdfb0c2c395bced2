"""The mark is in every output format, survives reading back, and says the right thing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from mfs_lib import __version__
from mfs_lib.errors import InputError, OutputError
from mfs_lib.swapping import image_io
from mfs_lib.swapping.image_io import write_image
from mfs_lib.swapping.provenance import SOURCE_TYPE, draw_label, parse_xmp, read_provenance, swap_xmp

Pixels = npt.NDArray[np.uint8]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"])
def test_round_trip_in_every_format(tmp_path: Path, astronaut: Pixels, suffix: str) -> None:
    path = write_image(tmp_path / f"o{suffix}", astronaut[:64, :64], xmp=swap_xmp("MobileFaceSwap (default)"))
    found = read_provenance(path)
    assert found is not None
    assert found.source_type == SOURCE_TYPE
    assert found.source_type.startswith("http://cv.iptc.org/newscodes/digitalsourcetype/")
    assert found.synthetic
    assert found.software == f"mfs_lib {__version__}"
    assert found.system == "MobileFaceSwap (default)"


def test_mark_is_where_other_programs_look(tmp_path: Path, astronaut: Pixels) -> None:
    small = astronaut[:16, :16]
    needle = SOURCE_TYPE.encode()
    assert b"iTXt" in (png := write_image(tmp_path / "o.png", small, xmp=swap_xmp()).read_bytes())
    assert b"XML:com.adobe.xmp\0\0" in png  # not compressed, so that plain text searches find it
    assert needle in png
    jpeg = write_image(tmp_path / "o.jpg", small, xmp=swap_xmp()).read_bytes()
    assert b"http://ns.adobe.com/xap/1.0/\0" in jpeg
    assert needle in jpeg
    webp = write_image(tmp_path / "o.webp", small, xmp=swap_xmp()).read_bytes()
    assert b"XMP " in webp
    assert needle in webp
    with Image.open(write_image(tmp_path / "o.tif", small, xmp=swap_xmp())) as tiff:
        assert needle in tiff.tag_v2[700]  # type: ignore[attr-defined]


def test_unmarked_pictures_say_nothing(tmp_path: Path, astronaut: Pixels) -> None:
    assert read_provenance(write_image(tmp_path / "o.png", astronaut[:8, :8])) is None


def test_reading_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "t.png").write_text("no")
    for name in ("t.png", "missing.png"):
        with pytest.raises(InputError):
            read_provenance(tmp_path / name)


def test_attribute_form_is_understood() -> None:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"/>'
        "</rdf:RDF></x:xmpmeta>"
    )
    found = parse_xmp(packet)
    assert found is not None
    assert found.source_type.endswith("digitalCapture")
    assert not found.synthetic


@pytest.mark.parametrize(
    "packet",
    [
        None,
        "",
        "no xml",
        "<x:xmpmeta",
        "<a/>",
        '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>',
        "<a>" + "b" * 2_000_000 + "</a>",
    ],
)
def test_strange_packets_are_no_statement(packet: str | None) -> None:
    assert parse_xmp(packet) is None


def test_special_characters_are_escaped() -> None:
    found = parse_xmp(swap_xmp('<&">'))
    assert found is not None
    assert found.system == '<&">'


def test_a_lost_mark_is_an_error(tmp_path: Path, astronaut: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    def forget_the_mark(image: Image.Image, stream: object, form: str, xmp: str | None) -> None:
        image.save(stream, form)  # type: ignore[arg-type]

    monkeypatch.setattr(image_io, "_encode", forget_the_mark)
    with pytest.raises(OutputError, match="mark"):
        write_image(tmp_path / "o.png", astronaut, xmp=swap_xmp())
    assert list(tmp_path.iterdir()) == []


def test_same_arguments_same_bytes(tmp_path: Path, astronaut: Pixels) -> None:
    first = write_image(tmp_path / "a.png", astronaut[:32, :32], xmp=swap_xmp())
    second = write_image(tmp_path / "b.png", astronaut[:32, :32], xmp=swap_xmp())
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("shape", [(512, 512), (300, 1200), (1200, 120), (24, 24), (1, 1)])
def test_label_is_visible_and_stays_in_its_corner(shape: tuple[int, int]) -> None:
    pixels = np.full((*shape, 3), 128, dtype=np.uint8)
    labelled = draw_label(pixels)
    assert labelled.shape == pixels.shape
    assert (pixels == 128).all()  # the input is not touched
    assert (labelled != pixels).any()
    if min(shape) >= 100:
        changed = (labelled != pixels).any(axis=2)
        assert not changed[: shape[0] * 3 // 4].any()
        assert labelled.max() > 240
        assert labelled.min() < 40
