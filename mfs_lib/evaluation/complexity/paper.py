"""Table 1 of MobileFaceSwap (AAAI 2022) as printed, with the networks that each row can be counted from.

Nothing here is measured by this project. Numbers are kept as text, with the digits that the paper gives them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """One row as printed; None where the paper has a dash.

    Attributes:
        method: name in the paper.
        size: side of the input in pixels.
        image_parameters: millions of parameters for a single image, the identity network among them.
        image_operations: its "FLOPs" in billions.
        video_parameters: millions of parameters that run on every frame.
        video_operations: their "FLOPs" in billions.
        fps: frames per second on a MediaTek Dimensity 1100.
        identity: accuracy of identity retrieval on FaceForensics++, percent.
        pose: pose error there (unit not stated).
        systems: keys of `systems.SYSTEMS` that stand for it, empty where no code is public.
        reason: why a number isn't reproduced, or what is particular about the row.
    """

    method: str
    size: int
    image_parameters: str
    image_operations: str
    video_parameters: str | None
    video_operations: str | None
    fps: str | None = None
    identity: str | None = None
    pose: str | None = None
    systems: tuple[str, ...] = ()
    reason: str = ""


_FACESHIFTER = (
    "The paper counts an implementation of its own that isn't public. Both open ones are counted: no choice of mask, "
    "kernels and width of the identity in them gives the printed pair."
)
_OURS = (
    "For an image the paper leaves out the final block and the mask head, 0.08 M. The released mobile network needs "
    "fewer operations than the paper says in the convention that fits the other rows; in an image the identity network "
    "hides the difference."
)
_SIMSWAP = {
    "size": 224, "image_parameters": "107", "image_operations": "55.7", "video_parameters": "45.6",
    "video_operations": "48.2", "fps": "0.64", "systems": ("simswap-224",),
    "reason": "For video the paper leaves out the identity network and the 18 linear layers that read its embedding.",
}  # fmt: skip
_SHIFTER = {
    "size": 256, "image_parameters": "421", "image_operations": "97.4", "video_parameters": "350",
    "video_operations": "91.1", "systems": ("faceshifter-1x1", "faceshifter-3x3"), "reason": _FACESHIFTER,
}  # fmt: skip

TABLE_1: tuple[PaperRow, ...] = (
    PaperRow(
        method="DeepFakes", size=64, image_parameters="82.1", image_operations="1.90", video_parameters="82.1",
        video_operations="1.90", fps="9.5", identity="81.96", pose="4.14", systems=("deepfakes-64",),
        reason="Parameters of the shared encoder and both decoders; operations of the one path that runs.",
    ),
    PaperRow(
        method="FSGAN", size=256, image_parameters="226", image_operations="2440", video_parameters="226",
        video_operations="2240", identity="57.34", pose="3.81", systems=("fsgan-256",),
        reason="Counted for one source view: one pass each of reenactment, segmentation, inpainting and blending. The "
        "paper doesn't say how many views and passes it counts; about three times ours would come near.",
    ),
    PaperRow(method="SimSwap", identity="92.83", pose="1.53", **_SIMSWAP),  # type: ignore[arg-type]
    PaperRow(method="FaceShifter", identity="97.38", pose="2.96", **_SHIFTER),  # type: ignore[arg-type]
    PaperRow(
        method="FaceController", size=224, image_parameters="306", image_operations="192", video_parameters="236",
        video_operations="177", identity="98.27", pose="2.65", reason="No code is public: quoted, not counted.",
    ),
    PaperRow(method="Teacher (SimSwap)", identity="95.94", pose="1.39", **_SIMSWAP),  # type: ignore[arg-type]
    PaperRow(method="Teacher (FaceShifter)", identity="97.15", pose="1.76", **_SHIFTER),  # type: ignore[arg-type]
    PaperRow(
        method="Ours (SimSwap)", size=224, image_parameters="72.8", image_operations="8.07", video_parameters="0.50",
        video_operations="0.33", fps="25.6", identity="95.98", pose="1.32", systems=("mobilefaceswap-224",),
        reason=_OURS,
    ),
    PaperRow(
        method="Ours (FaceShifter)", size=256, image_parameters="72.8", image_operations="8.18",
        video_parameters="0.50", video_operations="0.44", fps="19.7", identity="96.10", pose="1.70",
        systems=("mobilefaceswap-256",), reason=_OURS,
    ),
    PaperRow(
        method="Id Network", size=112, image_parameters="52.2", image_operations="7.52", video_parameters=None,
        video_operations=None, systems=("identity-112",), reason="The recogniser of SimSwap and of MobileFaceSwap.",
    ),
)  # fmt: skip
