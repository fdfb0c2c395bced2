"""Render a clip of the face world into a video file, with what is true of each frame beside it.

    python tools/make_clip.py clip.mp4 --seed 2 --frames 300 --size 1920x1080 [--swap 77]

CLIP.json holds for each frame the five points (pixels) and the pose (degrees). With --swap N the clip shows the exact swap
with the person of seed N. The background is a photograph of the set `backgrounds` where that was fetched.
"""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.faces.morphable.clips import Clip

TONE = 220.0  # Hz
SAMPLES = 44_100  # a second


def render(path: Path, clip: Clip, swap: int | None) -> None:
    """Write the video, H.264 at high quality with a quiet tone, and its truth."""
    truth = []
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=round(clip.rate))
        video.width, video.height, video.pix_fmt = clip.width, clip.height, "yuv420p"
        video.codec_context.options = {"crf": "18", "preset": "medium"}
        video.codec_context.colorspace, video.codec_context.color_range = 1, 1  # BT.709, limited
        audio = container.add_stream("aac", rate=SAMPLES, layout="mono")
        identity = None if swap is None else clip.sample_identity(swap)
        for frame in clip.frames(identity):
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace="itu709")
            picture.pts, picture.time_base = frame.index, Fraction(1, round(clip.rate))
            container.mux(video.encode(picture))
            truth.append({"points": frame.points.round(3).tolist(), "pose": [round(a, 3) for a in frame.pose]})
        container.mux(video.encode(None))
        tone = 0.1 * np.sin(2 * np.pi * TONE * np.arange(round(SAMPLES * len(clip) / clip.rate)) / SAMPLES)
        for start in range(0, len(tone) - 1024, 1024):
            piece = tone[None, start : start + 1024].astype(np.float32)
            sound = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
            sound.sample_rate, sound.pts = SAMPLES, start
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    path.with_suffix(".json").write_text(json.dumps(truth), "utf-8")


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description="Render a clip of the face world into a video file.")
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--swap", type=int)
    args = parser.parse_args()
    width, height = (int(side) for side in args.size.split("x"))
    clip = Clip(MorphableWorld.load(), seed=args.seed, frames=args.frames, width=width, height=height)
    render(args.output, clip, args.swap)


if __name__ == "__main__":
    main()
