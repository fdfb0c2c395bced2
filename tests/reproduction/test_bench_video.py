"""Stages and videos of the benchmark really swap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfs_lib.errors import InputError
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.faces.morphable.clips import Clip
from mfs_lib.reproduction import bench_video
from mfs_lib.reproduction.bench_video import Scene, clip_frames, measure_memory, stage_candidates, video_entries
from mfs_lib.swapping.bundle import default_bundle


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene.load(default_bundle())


def test_every_stage_runs(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_video, "SIZES", ((320, 180),))
    monkeypatch.setattr(bench_video, "_STILLS", 2)
    found = {candidate.name: candidate for candidate in stage_candidates(scene)}
    stages = ("search", "track", "align", "swap", "paste", "frame")
    assert set(found) == {"identity", "new-person", *(f"{stage}-320x180" for stage in stages)}
    assert all(candidate.kind == "stage" for candidate in found.values())
    assert found["identity"].run().crop_size == scene.person.crop_size
    assert found["track-320x180"].run() and found["frame-320x180"].run()


def test_videos_are_swapped_and_memory_is_told(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_video, "SIZES", ((320, 180),))
    entries = video_entries(scene, tmp_path, frames=4, rounds=1, progress=False)
    assert [(entry.name, entry.kind) for entry in entries] == [("video-320x180", "end to end")]
    memory = measure_memory(scene, tmp_path / "clip_180.mp4", tmp_path)
    if memory is not None:
        assert 0 < memory.interpreter < memory.libraries < memory.swapper < memory.video
        assert memory.above_interpreter == pytest.approx(memory.swapper - memory.interpreter)


def test_a_clip_without_a_face_is_no_measurement(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_video, "SIZES", ((320, 180),))
    monkeypatch.setattr(bench_video.FaceTracker, "update", lambda self, frame: [])
    with pytest.raises(InputError, match="face"):
        video_entries(scene, tmp_path, frames=2, rounds=1, progress=False)


def test_frames_for_the_book_show_another_face() -> None:
    found = clip_frames(default_bundle(), (0.0,))
    target, swapped, exact = (np.asarray(pictures[0], dtype=int) for pictures in found)
    assert target.shape == swapped.shape == exact.shape == (400, 400, 3)
    assert np.abs(swapped - target).max() > 40
    assert np.abs(swapped - exact)[100:300, 100:300].mean() < np.abs(target - exact)[100:300, 100:300].mean() * 1.5


def test_the_clip_is_the_same_every_time() -> None:
    world = MorphableWorld.load()
    frames = [Clip(world, seed=bench_video.CLIP_SEED, frames=1, width=320, height=180).frame(0).image for _ in range(2)]
    assert (frames[0] == frames[1]).all()
