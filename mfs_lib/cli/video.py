"""The command `mfs video`: the face of a photograph onto the faces of a video."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfs_lib.cli.arguments import count, refuse_overwriting_inputs

if TYPE_CHECKING:
    from mfs_lib.swapping.video import VideoReport

_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow")


def add_video(commands: Any) -> argparse.ArgumentParser:
    """The parser of `mfs video`."""
    video: argparse.ArgumentParser = commands.add_parser(
        "video",
        help="put the face of a photograph onto a video",
        description="Put the largest face of SOURCE onto the largest face of the video TARGET, follow it, and write the "
        "video to OUTPUT. Sound, frame rate, time stamps and size stay; frames without a face pass through.",
        epilog="The output is marked as edited by AI in its metadata (IPTC digital source type). "
        "No metadata of the target, such as the place where it was taken, is copied.",
    )
    video.add_argument("--source", "-s", type=Path, required=True, help="photograph of the person whose face is used")
    video.add_argument("--target", "-t", type=Path, required=True, help="video whose face is replaced")
    video.add_argument(
        "--output", "-o", type=Path, required=True, help="file to write; the suffix chooses .mp4, .m4v, .mov or .mkv"
    )
    video.add_argument(
        "--face", choices=("largest", "all"), default="largest", help="which faces are replaced (default: largest)"
    )
    video.add_argument("--label", action="store_true", help="also draw a visible label into every frame")
    video.add_argument("--max-frames", type=count, metavar="N", help="stop after N frames")
    video.add_argument("--force", action="store_true", help="allow the output to replace the source or target file")
    _add_means(video)
    video.set_defaults(run=run_video)
    return video


def _add_means(video: argparse.ArgumentParser) -> None:
    """Options that say with what and how it is done."""
    video.add_argument(
        "--detail",
        choices=("plain", "residual", "adaptive"),
        help="how the face is pasted, see 'mfs swap --help' (default: the package's)",
    )
    video.add_argument(
        "--bundle",
        type=Path,
        metavar="DIR",
        help="folder with detector.onnx, source.onnx and frame.onnx; then PyTorch is not needed "
        "(default: made once from the weights, in the cache folder)",
    )
    video.add_argument(
        "--weights",
        default="default",
        metavar="NAME|FILE",
        help="student to make the bundle from (default: the shipped one)",
    )
    video.add_argument(
        "--crf", type=_quality, default=18, metavar="N", help="quality of the picture, 0 best to 51 (default: 18)"
    )
    video.add_argument(
        "--preset", choices=_PRESETS, default="ultrafast", help="the encoder's care for size (default: ultrafast)"
    )


def _quality(text: str) -> int:
    """A whole number from 0 to 51."""
    if not (text.isascii() and text.isdigit() and int(text) <= 51):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 51")
    return int(text)


def run_video(args: argparse.Namespace) -> dict[str, Any]:
    """`mfs video`: returns the report whose "text" is the one line to print."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # read when cv2 is imported; its hints are not for users
    import cv2

    from mfs_lib.swapping.portable import DETECTOR, check_bundle
    from mfs_lib.swapping.source_process import prepare_apart
    from mfs_lib.swapping.tracking import FaceTracker
    from mfs_lib.swapping.video import VideoSettings, check_video_output, swap_video
    from mfs_lib.swapping.video_io import VideoReader

    cv2.setNumThreads(1)  # the cores are for decoder and encoder; regions of a face are too small to share
    # Everything that can be known to fail is checked before the networks are loaded.
    check_video_output(args.output)
    if not args.force:
        refuse_overwriting_inputs(args)
    with VideoReader(args.target):
        pass
    bundle = _bundle(args)
    check_bundle(bundle)
    person = prepare_apart(bundle, args.source)
    settings = VideoSettings(
        crf=args.crf, preset=args.preset, label=args.label, max_frames=args.max_frames,
        system=f"MobileFaceSwap ({bundle.name if args.bundle else args.weights})",
        **({} if args.detail is None else {"detail": args.detail}),
    )  # fmt: skip
    tracker = FaceTracker(model=bundle / DETECTOR, follow=args.face)
    with _Bar(hidden=args.json) as bar:
        report = swap_video(person, tracker, args.target, args.output, settings=settings, progress=bar.show)
    return _report(args, report, person.notes)


def _bundle(args: argparse.Namespace) -> Path:
    """The user's bundle, or the weights' own; only making that one needs PyTorch."""
    if args.bundle is not None:
        return Path(args.bundle)
    from mfs_lib.swapping.bundle import default_bundle

    return default_bundle(args.weights)


class _Bar:
    """A progress bar on standard error, where that is a terminal."""

    def __init__(self, *, hidden: bool) -> None:
        from tqdm import tqdm

        # disable=None: not drawn where standard error is no terminal
        self._bar = tqdm(unit="frame", disable=True if hidden else None, leave=False)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, done: int, expected: int | None) -> None:
        """Draw the state after a frame."""
        self._bar.total = expected
        self._bar.update(done - self._bar.n)


def _report(args: argparse.Namespace, report: VideoReport, notes: tuple[str, ...]) -> dict[str, Any]:
    """What was done, for people ("text") and for programs."""
    total = report.seconds["total"]
    without = report.frames - report.swapped
    text = (
        f"swapped {report.swapped} of {report.frames} frames of {args.target.name}: wrote {report.output} "
        f"({report.width}x{report.height}, {'with' if report.sound else 'no'} sound, marked as synthetic"
        f"{', labelled' if args.label else ''}) in {total:.1f} s, {report.frames / total:.0f} frames a second"
    )
    if without:
        text += f" [{without} frames show no face and passed through]"
    if notes:
        text += f" [{'; '.join(notes)}]"
    return {
        "text": text,
        "output": str(report.output),
        "width": report.width,
        "height": report.height,
        "rate": round(report.rate, 4),
        "frames": report.frames,
        "frames_swapped": report.swapped,
        "frames_without_face": without,
        "frames_searched": report.searched,
        "cuts": report.cuts,
        "sound": report.sound,
        "notes": list(notes),
        "marked": True,
        "labelled": bool(args.label),
        "seconds": {step: round(value, 4) for step, value in report.seconds.items()},
    }
