"""Reading shards: a seed's order, shared by processes and workers, and nothing but crops."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.faces.shard_reader import INDEX, Crop, ShardedCrops, check_shards, read_index

SIDE = 16
Members = Mapping[str, bytes]


def _png(side: int = SIDE, value: int = 7) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (value, 1, 2)).save(stream, "PNG")
    return stream.getvalue()


def _about(name: str, **changed: Any) -> bytes:
    values = {"name": name, "person": name[0], "points": [[1, 2]] * 5, "eye_distance": 80.5}
    return json.dumps({**values, **changed}).encode()


def _crop(number: int) -> Members:
    return {f"{number:08d}.json": _about(f"{number}.png"), f"{number:08d}.png": _png(value=number)}


def _write(folder: Path, shards: list[Members], counts: list[int] | None = None) -> Path:
    """Shards with these members, and an index that says how many crops each has."""
    folder.mkdir(exist_ok=True)
    for number, members in enumerate(shards):
        with tarfile.open(folder / f"crops-{number}.tar", "w") as tar:
            for name, data in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    counts = counts or [len(members) // 2 for members in shards]
    listed = [{"name": f"crops-{n}.tar", "count": count} for n, count in enumerate(counts)]
    (folder / INDEX).write_text(json.dumps({"size": SIDE, "shards": listed}))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six shards of five crops."""
    shards = [{k: v for n in range(5) for k, v in _crop(5 * shard + n).items()} for shard in range(6)]
    return _write(tmp_path / "crops", shards)


def _names(crops: ShardedCrops) -> list[str]:
    return [crop.name for crop in crops]


def test_a_seed_and_an_epoch_decide_the_order(folder: Path) -> None:
    first = _names(ShardedCrops(folder, seed=3))
    assert sorted(first, key=lambda n: int(n[:-4])) == [f"{n}.png" for n in range(30)]
    assert first == _names(ShardedCrops(folder, seed=3))
    orders = [first, _names(ShardedCrops(folder, seed=4)), _names(ShardedCrops(folder, seed=3).at_epoch(1))]
    assert len({tuple(order) for order in orders}) == 3 and all(sorted(o) == sorted(first) for o in orders)
    unshuffled = _names(ShardedCrops(folder, seed=3, buffer=1))
    shards = [int(name[:-4]) // 5 for name in unshuffled]
    assert shards == sorted(shards, key=shards.index) and sorted(shards) != shards  # whole shards, in another order
    crop = next(iter(ShardedCrops(folder)))
    assert crop.picture.shape == (SIDE, SIDE, 3) and crop.picture[0, 0].tolist() == [int(crop.name[:-4]), 1, 2]
    assert crop.person == crop.name[0] and crop.points.tolist() == [[1, 2]] * 5 and crop.eye_distance == 80.5


def test_processes_share_the_shards(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = []
    monkeypatch.setenv("WORLD_SIZE", "4")
    for rank in range(4):  # torchrun sets these
        monkeypatch.setenv("RANK", str(rank))
        parts.append(_names(ShardedCrops(folder)))
    assert sorted(len(part) for part in parts) == [5, 5, 10, 10]
    assert sorted(name for part in parts for name in part) == sorted(f"{n}.png" for n in range(30))
    monkeypatch.setenv("WORLD_SIZE", "7")
    with pytest.raises(InputError, match="6 shards can't be shared by 7 readers"):
        _names(ShardedCrops(folder))


def test_workers_share_the_shards(folder: Path) -> None:
    def read() -> list[str]:
        loader: DataLoader[Crop] = DataLoader(ShardedCrops(folder, seed=2), batch_size=None, num_workers=2)
        return [crop.name for crop in loader]

    found = read()
    assert sorted(found) == sorted(f"{n}.png" for n in range(30)) and found == read()
    assert found != _names(ShardedCrops(folder, seed=2))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"00000001.png": b"\\x89PNG but no more"}, "can't be read"),
        ({"00000001.png": _png(SIDE + 1)}, "17 x 17"),
        ({"00000001.png": _png() + b"\0" * 2**25}, "can't be read"),
        ({"00000001.jpg": _png()}, "one picture and one .json"),
        ({"00000001.json": b"{"}, ".json can't be read"),
        ({"00000001.json": b'{"name": "a"}'}, ".json can't be read"),
        ({"00000001.json": _about("a", points=[[1, 2]])}, "doesn't say"),
        ({"00000001.json": _about("a", points=[[float("nan"), 2]] * 5)}, "doesn't say"),
        ({"00000001.json": _about("a", person=3)}, "doesn't say"),
        ({"00000001.json": b" " * 2**15 + _about("a")}, ".json can't be read"),
    ],
)
def test_damaged_crops_end_the_reading_or_are_counted(changed: Members, why: str, tmp_path: Path) -> None:
    members = {**_crop(0), **_crop(1), **changed, **_crop(2)}
    ordered = dict(sorted(members.items()))
    folder = _write(tmp_path / "crops", [ordered], [3])
    with pytest.raises(InputError, match=f"crop 00000001: .*{why}"):
        _names(ShardedCrops(folder))
    with pytest.warns(RuntimeWarning, match=f"1 damaged, left out.*{why}"):
        assert sorted(_names(ShardedCrops(folder, on_damage="skip"))) == ["0.png", "2.png"]
    whole, problems = check_shards(folder)
    assert whole == 2 and len(problems) == 1 and why in problems[0]


class _Oops:
    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("oops", "w"))


@pytest.mark.parametrize("suffix", ["pyd", "pickle", "pkl", "pth", "npy", "png.gz", "PNG", "txt"])
@pytest.mark.parametrize("on_damage", ["raise", "skip"])
def test_other_members_are_never_read(
    suffix: str, on_damage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = _write(tmp_path / "crops", [{**_crop(0), f"00000000.{suffix}": pickle.dumps(_Oops()), **_crop(1)}], [2])
    with pytest.raises(InputError, match="that is no crop"):
        _names(ShardedCrops(folder, on_damage=on_damage))
    with pytest.raises(InputError, match="that is no crop"):
        check_shards(folder)
    assert not (tmp_path / "oops").exists()


@pytest.mark.parametrize("name", ["../00000001.png", "/00000001.png", "a b.png", ".png", "00000001.png\n"])
def test_odd_names_are_refused(name: str, tmp_path: Path) -> None:
    folder = _write(tmp_path / "crops", [{**_crop(0), name: _png()}], [1])
    with pytest.raises(InputError, match="that is no crop"):
        _names(ShardedCrops(folder, on_damage="skip"))


def test_links_and_packed_shards_are_refused(tmp_path: Path) -> None:
    folder = _write(tmp_path / "crops", [_crop(0)])
    shard = folder / "crops-0.tar"
    plain = shard.read_bytes()
    with tarfile.open(shard, "a") as tar:
        link = tarfile.TarInfo("00000001.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.png")
        tar.addfile(link)
    with pytest.raises(InputError, match="that is no crop"):
        _names(ShardedCrops(folder, on_damage="skip"))
    shard.unlink()
    with tarfile.open(shard, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("00000000.json"))
    with pytest.raises(InputError, match="can't be read to its end"):
        _names(ShardedCrops(folder))
    shard.write_bytes(plain)
    assert _names(ShardedCrops(folder)) == ["0.png"]


def test_lost_crops_are_noticed(folder: Path) -> None:
    shard = folder / "crops-3.tar"
    data = bytearray(shard.read_bytes())
    data[5 * 1024 : 5 * 1024 + 200] = b"x" * 200  # somewhere within: the archive seems to end here
    shard.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"crops-3\.tar"):
        _names(ShardedCrops(folder))
    whole, problems = check_shards(folder)
    assert 25 <= whole < 30 and problems and all("crops-3.tar" in problem for problem in problems)
    shard.unlink()
    with pytest.raises(InputError, match="can't be read to its end"):
        _names(ShardedCrops(folder))


@pytest.mark.parametrize(
    ("index", "why"),
    [
        ("{", "no index"), ("[]", "no index"), ('{"size": 16}', "no index"), ('{"size": 16, "shards": []}', "no crops"),
        ('{"size": 0, "shards": [{"name": "a.tar", "count": 1}]}', "no crops"),
        ('{"size": 16, "shards": [{"name": "../a.tar", "count": 1}]}', "no shard"),
        ('{"size": 16, "shards": [{"name": "pipe:ls", "count": 1}]}', "no shard"),
        ('{"size": 16, "shards": [{"name": "a.tar", "count": 0}]}', "no shard"),
    ],
)  # fmt: skip
def test_an_index_is_checked(index: str, why: str, tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text(index)
    with pytest.raises(InputError, match=why):
        read_index(tmp_path)


def test_settings_are_checked(folder: Path) -> None:
    for wrong in ({"buffer": 0}, {"on_damage": "ignore"}):
        with pytest.raises(ConfigError, match="buffer"):
            ShardedCrops(folder, **wrong)  # type: ignore[arg-type]
    assert np.ptp([len(_names(ShardedCrops(folder, buffer=b))) for b in (1, 2, 7, 100)]) == 0
