"""Photographs to shards of crops: what is written and left out, and the command."""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfs_lib.errors import ConfigError, InputError, NoFaceError, OutputError
from mfs_lib.faces import shards
from mfs_lib.faces.alignment import TEMPLATE
from mfs_lib.faces.folders import FoundFace, PhotoSet, read_photo
from mfs_lib.faces.shard_reader import Crop, ShardedCrops, check_shards, read_index
from mfs_lib.faces.shards import ShardConfig, eye_distance, list_photos, write_shards


def find_middle(image: np.ndarray) -> FoundFace:
    """A face that fills the picture's middle half; none in pictures that begin with a black pixel."""
    if image[0, 0].sum() == 0:
        raise NoFaceError("no face was found")
    height, width = image.shape[:2]
    points = np.array([width / 4, height / 4]) + TEMPLATE * np.array([width / 2, height / 2])
    return FoundFace(points=points, mesh=np.zeros((468, 3)))


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Nine pictures of three people, one alone, one without a face, one cut off."""
    folder, random = tmp_path / "photographs", np.random.default_rng(0)
    for person in ("ann", "bob", "cem"):
        (folder / person).mkdir(parents=True)
        for number in range(3):
            pixels = random.integers(1, 256, (80, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / person / f"{number}.png")
    Image.fromarray(random.integers(1, 256, (400, 400, 3), dtype=np.uint8)).save(folder / "dora.png")
    Image.new("RGB", (40, 40)).save(folder / "nobody.png")
    (folder / "cut.png").write_bytes((folder / "ann/0.png").read_bytes()[:500])
    (folder / "notes.txt").write_text("no picture")
    return folder


def _by_name(folder: Path) -> dict[str, Crop]:
    return {crop.name: crop for crop in ShardedCrops(folder)}


def test_what_is_written_is_read_again(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "crops"
    written = write_shards(photographs, out, ShardConfig(40, per_shard=4), finder=find_middle, progress=False)
    assert (written.crops, written.shards, written.rejected) == (10, 3, 2)
    assert sorted(p.name for p in out.iterdir()) == [
        "crops-000000.tar", "crops-000001.tar", "crops-000002.tar", "rejected.jsonl", "shards.json",
    ]  # fmt: skip
    index = read_index(out)
    assert index.size == 40 and index.count == 10 and [count for _, count in index.shards] == [4, 4, 2]
    crops = _by_name(out)
    assert set(crops) == {*(f"{person}/{n}.png" for person in ("ann", "bob", "cem") for n in range(3)), "dora.png"}
    assert {crop.person for crop in crops.values()} == {"ann", "bob", "cem", "dora"}
    one = crops["bob/1.png"]
    assert np.array_equal(one.picture, read_photo(photographs / "bob/1.png")[20:60, 20:60])  # the middle, as it is
    assert np.allclose(one.points, TEMPLATE * 40, atol=2e-3)
    wanted = eye_distance(TEMPLATE * 40)
    assert one.eye_distance == pytest.approx(wanted, abs=1e-3) and crops["dora.png"].eye_distance == pytest.approx(
        5 * wanted, abs=1e-3
    )
    reasons = {
        line["name"]: line["reason"] for line in map(json.loads, (out / "rejected.jsonl").read_text().splitlines())
    }
    assert set(reasons) == {"nobody.png", "cut.png"} and "no face" in reasons["nobody.png"]
    assert check_shards(out) == (10, [])
    same = PhotoSet.from_folder(photographs, 40, finder=find_middle, progress=False)
    assert all(np.array_equal(crops[name].picture, same.crops[i]) for i, name in enumerate(same.names))


def test_small_faces_are_left_out(photographs: Path, tmp_path: Path) -> None:
    apart = eye_distance(TEMPLATE * 40)  # of the pictures of 80 pixels
    for limit, expected in ((apart - 0.01, 10), (apart + 0.01, 1), (5 * apart - 0.01, 1)):
        out = tmp_path / f"crops_{limit}"
        config = ShardConfig(32, min_eye_distance=limit)
        assert write_shards(photographs, out, config, finder=find_middle, progress=False).crops == expected
    assert json.loads((out / "shards.json").read_text())["min_eye_distance"] == limit
    assert sum("pixels apart" in line for line in (out / "rejected.jsonl").read_text().splitlines()) == 9
    with pytest.raises(InputError, match="No usable face in 12"):
        write_shards(
            photographs, tmp_path / "none", ShardConfig(32, 5 * apart + 0.01), finder=find_middle, progress=False
        )
    with pytest.raises(InputError, match="no finished shards"):
        read_index(tmp_path / "none")


def test_the_paper_keeps_eyes_more_than_70_pixels_apart() -> None:
    points = np.array([[10.0, 20.0], [52.0, 76.0], [0, 0], [0, 0], [0, 0]])
    assert eye_distance(points) == pytest.approx(70)

    def find(image: np.ndarray) -> FoundFace:
        return FoundFace(points=points * image[0, 0, 0] / 100, mesh=np.zeros((468, 3)))

    def cut(scale: int) -> float | None:
        return shards._cut(np.full((90, 90, 3), scale, np.uint8), ShardConfig(32, min_eye_distance=70), find)[2]

    with pytest.raises(InputError, match=r"70\.0 pixels apart, not more than 70"):
        cut(100)
    assert cut(101) == pytest.approx(70.7)


def test_crops_are_taken_as_they_are(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "crops"
    done = write_shards(photographs, out, ShardConfig(80, aligned=True), progress=False)
    assert (done.crops, done.rejected) == (9, 3)
    one = _by_name(out)["ann/2.png"]
    assert np.array_equal(one.picture, read_photo(photographs / "ann/2.png"))
    assert one.eye_distance is None and np.allclose(one.points, TEMPLATE * 80, atol=1e-3)
    with pytest.raises(ConfigError, match="isn't known of crops"):
        ShardConfig(80, min_eye_distance=70, aligned=True)


def test_the_files_depend_on_photographs_and_settings_alone(photographs: Path, tmp_path: Path) -> None:
    config = ShardConfig(80, aligned=True, per_shard=4)
    for name, seed, processes in (("a", 0, 1), ("b", 0, 2), ("c", 1, 1)):
        settings = ShardConfig(80, aligned=True, per_shard=4, seed=seed)
        write_shards(photographs, tmp_path / name, settings, processes=processes, progress=False)
    first, second, other = ((tmp_path / name / "crops-000000.tar").read_bytes() for name in "abc")
    assert first == second and first != other
    assert [p.name for p in list_photos(photographs, 0)] != [p.name for p in list_photos(photographs, 1)]
    with tarfile.open(tmp_path / "a" / "crops-000000.tar") as tar:
        assert {(m.mtime, m.uname, m.uid) for m in tar} == {(0, "", 0)}
    with pytest.raises(OutputError, match="not empty"):
        write_shards(photographs, tmp_path / "a", config, progress=False)


def test_jpeg_is_smaller_and_close(photographs: Path, tmp_path: Path) -> None:
    smooth = Image.linear_gradient("L").resize((80, 80)).convert("RGB")
    for path in (photographs / "ann").iterdir():
        smooth.save(path)
    write_shards(photographs / "ann", tmp_path / "crops", ShardConfig(80, aligned=True, picture="jpg"), progress=False)
    crop = next(iter(ShardedCrops(tmp_path / "crops")))
    assert np.abs(crop.picture.astype(int) - np.asarray(smooth)).max() <= 3
    for wrong in ({"size": 0}, {"per_shard": 0}, {"picture": "gif"}, {"min_eye_distance": -1.0}):
        with pytest.raises(ConfigError):
            ShardConfig(**wrong)  # type: ignore[arg-type]


def test_odd_folder_names_are_names(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = Path("pipe:touch oops 100%d")
    write_shards(photographs, out, ShardConfig(80, aligned=True), progress=False)
    assert len(_by_name(out)) == 9 and not Path("oops").exists()
    with pytest.raises(InputError, match="not a folder"):
        list_photos(tmp_path / "missing")
    with pytest.raises(InputError, match="no pictures"):
        list_photos(out)


def test_the_command_writes_and_checks(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shards, "_process_finder", lambda: find_middle)
    out = tmp_path / "crops"
    command = ["shards", str(photographs), "--output", str(out), "--size", "40", "--min-eye-distance", "45"]
    monkeypatch.setattr(sys, "argv", command)
    shards.main()
    assert "1 crops in 1 shards; 11 photographs gave none" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["shards", str(out), "--check"])
    with pytest.raises(SystemExit) as stopped:
        shards.main()
    assert stopped.value.code == 0 and "1 crops are whole, 0 problems" in capsys.readouterr().out
    (shard,) = out.glob("*.tar")
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(SystemExit) as stopped:
        shards.main()
    assert stopped.value.code == 1 and "0 crops are whole" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["shards", str(photographs)])
    with pytest.raises(SystemExit):
        shards.main()
