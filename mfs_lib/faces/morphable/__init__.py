"""The face world: a morphable model of consenting people, its sampler and the exact swap."""

from mfs_lib.faces.morphable.codes import Attributes, Identity
from mfs_lib.faces.morphable.world import MorphableWorld, WorldSample

__all__ = ["Attributes", "Identity", "MorphableWorld", "WorldSample"]
