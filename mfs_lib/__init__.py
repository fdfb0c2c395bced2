"""MobileFaceSwap and MobileFSGAN, re-implemented: networks, faces, training, evaluation, swapping."""

from __future__ import annotations

__version__ = "0.1.0"
