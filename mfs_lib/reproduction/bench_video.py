"""Stages of a swap and whole videos for `mfs bench`: clips of the face world, swapped by the light path.

A clip shows a sampled person who turns, talks and moves in front of a background; another sampled person is swapped in.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mfs_lib.deploy.baking import bake, crop_size, load_frame
from mfs_lib.deploy.benchmark import Candidate, Entry
from mfs_lib.deploy.sessions import RUNTIME, open_session, runner
from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import ARCFACE_SIZE, TEMPLATE, align, arcface_pixels, fit_similarity, halved
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.faces.morphable.clips import Clip
from mfs_lib.swapping.frames import ArrayFrame
from mfs_lib.swapping.paste import crop_region, paste
from mfs_lib.swapping.portable import DETECTOR, FRAME, SOURCE, PortablePerson, PortableSwapper, swap_face
from mfs_lib.swapping.tracking import FaceTracker
from mfs_lib.swapping.video import swap_video
from mfs_lib.swapping.video_io import VideoReader, planes_of

UInt8Image = npt.NDArray[np.uint8]

CLIP_SEED = 41
SOURCE_SEED = 43
SIZES = ((1280, 720), (1920, 1080))
RATE = 30
_STILLS = 6
"""Frames of a clip that the stages are timed on."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What the stages work on, made once.

    Attributes:
        bundle: folder of the light path's graphs.
        portrait: the source, (H, W, 3) uint8.
        swapper, person: the light path, with the source made ready.
    """

    bundle: Path
    portrait: UInt8Image
    swapper: PortableSwapper
    person: PortablePerson

    @classmethod
    def load(cls, bundle: Path) -> Scene:
        """The scene of a bundle, with a sampled source."""
        world = MorphableWorld.load()
        portrait = Clip(world, seed=SOURCE_SEED, frames=1, width=640, height=640).frame(0).image
        swapper = PortableSwapper.load(bundle)
        return cls(bundle, portrait, swapper, swapper.prepare(portrait))


def stage_candidates(scene: Scene) -> Iterator[Candidate]:
    """Each stage of a frame, a change of the person, and all that a new picture of a person takes; on one thread."""
    world = MorphableWorld.load()

    def stage(name: str, resolution: str, run: Callable[[], Any]) -> Candidate:
        return Candidate(name=name, runtime=RUNTIME, threads=1, resolution=resolution, run=run, kind="stage")

    yield stage("identity", f"{ARCFACE_SIZE}x{ARCFACE_SIZE}", _identity_switch(scene))
    yield stage("new-person", "640x640", lambda: scene.swapper.prepare(scene.portrait))
    for width, height in SIZES:
        clip = Clip(world, seed=CLIP_SEED, frames=_STILLS, width=width, height=height, rate=RATE)
        yield from _frame_stages(scene, [frame.image for frame in clip.frames()], f"{width}x{height}", stage)


def _identity_switch(scene: Scene) -> Callable[[], PortablePerson]:
    """From a recogniser's view of a face to that person's opened network: identity network, injection, baking."""
    source, frame = runner(open_session(scene.bundle / SOURCE)), load_frame(scene.bundle / FRAME)
    points = scene.swapper.detector.detect(scene.portrait)[0].points
    size = crop_size(frame)
    crop = align(scene.portrait, fit_similarity(points, TEMPLATE * size), size)
    view = arcface_pixels(crop.astype(np.float32) / np.float32(255)).transpose(2, 0, 1)[None]
    face = {"face": np.ascontiguousarray(view)}
    return lambda: PortablePerson.from_model(bake(frame, source(face)).SerializeToString())


def _frame_stages(
    scene: Scene,
    stills: Sequence[UInt8Image],
    resolution: str,
    stage: Callable[[str, str, Callable[[], Any]], Candidate],
) -> Iterator[Candidate]:
    """Detect, track, align, swap and paste on consecutive frames of one size."""
    model, person = scene.bundle / DETECTOR, scene.person
    searching, tracker = FaceTracker(model=model, every=1), FaceTracker(model=model)
    there_and_back = itertools.cycle([*stills, *stills[-2:0:-1]])
    first = ArrayFrame(stills[0])
    points = FaceTracker(model=model).update(first)[0].points
    size = person.crop_size
    matrix = fit_similarity(points, TEMPLATE * size)
    box = crop_region(matrix, size, first.width, first.height)
    matrix[:, 2] += matrix[:, :2] @ np.array(box[:2], dtype=np.float64)
    region = first.region(box)
    crop = align(*halved(region, matrix, size, keep=1.5), size)
    scaled, raw, mask = person.swap_crop(crop)
    canvas = region.copy()

    def put() -> None:
        np.copyto(canvas, region)
        paste(canvas, raw, mask, matrix, crop=scaled)

    label = f"-{resolution}"
    yield stage("search" + label, resolution, lambda: searching.update(ArrayFrame(stills[0])))
    yield stage("track" + label, resolution, lambda: tracker.update(ArrayFrame(next(there_and_back))))
    yield stage("align" + label, resolution, lambda: align(*halved(region, matrix, size, keep=1.5), size))
    yield stage("swap" + label, f"{size}x{size}", lambda: person.swap_crop(crop))
    yield stage("paste" + label, resolution, put)
    yield stage("frame" + label, resolution, lambda: swap_face(ArrayFrame(stills[0].copy()), person, points))


class ClipFrames(NamedTuple):
    """Frames (H,W,3) uint8 of a clip, the same swapped, and the exact swap."""

    target: list[UInt8Image]
    swapped: list[UInt8Image]
    exact: list[UInt8Image]


def clip_frames(bundle: Path, seconds: Sequence[float], *, height: int = 720) -> ClipFrames:
    """The benchmark's clip at some moments, swapped frame by frame; shown is a square around the face.

    Raises InputError where a frame shows no face that could be found.
    """
    scene, world = Scene.load(bundle), MorphableWorld.load()
    width, side = 2 * round(height * 8 / 9), 2 * round(height / 3.6)
    clip = Clip(world, seed=CLIP_SEED, frames=1 + round(RATE * max(seconds)), width=width, height=height, rate=RATE)
    source = Clip(world, seed=SOURCE_SEED, frames=1).identity
    found = ClipFrames([], [], [])
    for moment in seconds:
        index = round(RATE * moment)
        image = clip.frame(index).image
        frame = ArrayFrame(image.copy())
        faces = FaceTracker(model=scene.bundle / DETECTOR).update(frame)
        if not faces or not swap_face(frame, scene.person, faces[0].points):
            raise InputError(f"no face was found in the clip at {moment} s")
        x, y = np.clip(
            np.rint(faces[0].points.mean(axis=0)).astype(int), side // 2, (width - side // 2, height - side // 2)
        )
        window = (slice(y - side // 2, y + side // 2), slice(x - side // 2, x + side // 2))
        for shown, picture in zip(found, (image, frame.image, clip.frame(index, source).image), strict=True):
            shown.append(picture[window])
    return found


def write_clip(clip: Clip, path: Path, *, progress: bool = True) -> Path:
    """A clip as an H.264 file."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "16", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        for frame in tqdm(
            clip.frames(), total=len(clip), desc=f"clip {clip.height}p", disable=not progress, leave=False
        ):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.image, format="rgb24")))
        container.mux(stream.encode())
    return path


def video_entries(scene: Scene, folder: Path, *, frames: int, rounds: int = 3, progress: bool = True) -> list[Entry]:
    """Time for a frame of whole videos, decoding and encoding included, on two threads' worth of cores.

    Raises InputError where nothing was swapped: a fast way to do nothing is no measurement.
    """
    world = MorphableWorld.load()
    paths = {}
    for width, height in SIZES:
        clip = Clip(world, seed=CLIP_SEED, frames=frames, width=width, height=height, rate=RATE)
        paths[width, height] = write_clip(clip, folder / f"clip_{height}.mp4", progress=progress)
    times: dict[tuple[int, int], list[float]] = {size: [] for size in paths}
    with _one_opencv_thread():
        for _ in range(rounds):
            for size, path in paths.items():
                tracker = FaceTracker(model=scene.bundle / DETECTOR)
                report = swap_video(scene.person, tracker, path, folder / f"swapped_{size[1]}.mp4")
                if report.swapped < 0.9 * report.frames:
                    raise InputError(f"only {report.swapped} of {report.frames} frames were swapped: no measurement")
                times[size].append(1e3 * report.seconds["total"] / report.frames)
    return [_video_entry(size, values) for size, values in times.items()]


def _video_entry(size: tuple[int, int], values: Sequence[float]) -> Entry:
    median, p95 = (float(np.percentile(values, q)) for q in (50, 95))
    return Entry(
        name=f"video-{size[0]}x{size[1]}", runtime=f"{RUNTIME}, PyAV {av.__version__}", threads=2,
        resolution=f"{size[0]}x{size[1]}", kind="end to end", median_ms=median, p95_ms=p95, rounds=len(values),
        ratio_to_released=None,
    )  # fmt: skip


@contextlib.contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """As `mfs video` does it: the cores are for decoder, swapper and encoder."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


_PEAK = """
import resource, sys
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
def told():
    assert "torch" not in sys.modules
    print(*sizes, peak(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sizes = [peak()]
from pathlib import Path
import cv2, numpy, onnxruntime
cv2.setNumThreads(1)
sizes.append(peak())
bundle, source, target, output = map(Path, sys.argv[1:])
"""
_SWAPPER = """
from mfs_lib.swapping.frames import PlanarFrame
from mfs_lib.swapping.portable import DETECTOR, FRAME, SOURCE, PortablePerson, swap_face
from mfs_lib.swapping.tracking import FaceTracker
person, tracker = PortablePerson.from_model(source.read_bytes()), FaceTracker(model=bundle / DETECTOR)
for path in sorted(target.iterdir()):
    with numpy.load(path) as planes:
        frame = PlanarFrame(planes["y"], planes["u"], planes["v"])
    faces = tracker.update(frame)
    assert faces and swap_face(frame, person, faces[0].points) and "av" not in sys.modules
told()
"""
_WHOLE = """
from mfs_lib.swapping.portable import DETECTOR
from mfs_lib.swapping.source_process import prepare_apart
from mfs_lib.swapping.tracking import FaceTracker
from mfs_lib.swapping.video import swap_video
person = prepare_apart(bundle, source)
assert swap_video(person, FaceTracker(model=bundle / DETECTOR), target, output).swapped
told()
"""


@dataclass(frozen=True)
class Memory:
    """Peaks of resident memory in MB, of processes of their own.

    Attributes:
        interpreter: of bare Python.
        libraries: with numpy, OpenCV and ONNX Runtime imported.
        swapper: that follows and swaps the face in decoded 1080p frames.
        video: that swaps a 1080p video, with its decoder and encoder.
        preparing: of the largest of the processes that make a person ready before and are gone then.
    """

    interpreter: float
    libraries: float
    swapper: float
    video: float
    preparing: float

    def __str__(self) -> str:
        video = self.video - self.interpreter
        return (
            f"peak memory at 1080p: the swapper takes {self.above_interpreter:.0f} MB above the interpreter, "
            f"{self.libraries - self.interpreter:.0f} of them numpy, OpenCV and ONNX Runtime; with decoder and encoder of a "
            f"video it is {video:.0f}; making a person ready takes {self.preparing:.0f} in a process of its own"
        )

    @property
    def above_interpreter(self) -> float:
        """What the swapper takes above the bare interpreter, MB."""
        return self.swapper - self.interpreter


def measure_memory(scene: Scene, video: Path, folder: Path) -> Memory | None:
    """Peaks of processes that swap by the light path; None where the system doesn't tell them (not Linux)."""
    if not Path("/proc/self/status").exists():
        return None
    source, person, frames = folder / "source.png", folder / "person.onnx", folder / "frames"
    cv2.imwrite(str(source), scene.portrait[..., ::-1])
    person.write_bytes(scene.person.model)
    frames.mkdir()
    with VideoReader(video) as reader:
        decoded = itertools.islice((item for item in reader.items() if isinstance(item, av.VideoFrame)), _STILLS)
        for index, item in enumerate(decoded):
            planes = planes_of(item)
            np.savez(frames / f"{index:03d}.npz", y=planes.y, u=planes.u, v=planes.v)
    swapper = _peaks(_SWAPPER, scene.bundle, person, frames, folder / "none")
    whole = _peaks(_WHOLE, scene.bundle, source, video, folder / "memory.mp4")
    return Memory(swapper[0], swapper[1], swapper[2], whole[2], whole[3])


def _peaks(code: str, *paths: Path) -> list[float]:
    """Peaks (MB) that a process of its own tells: bare, with libraries, in the end, and of its largest child."""
    command = [sys.executable, "-c", _PEAK + code, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"the swap in a process of its own failed: {done.stderr.strip().splitlines()[-1]}")
    return [int(value) * 1024 / 1e6 for value in done.stdout.split()[-4:]]
