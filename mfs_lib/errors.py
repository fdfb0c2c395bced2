"""Typed errors of the package: each says what is wrong and what to do about it."""

from __future__ import annotations


class MfsError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(MfsError):
    """Something handed to us (an image, an argument, a file) can't be used."""


class OutputError(MfsError):
    """A result can't be written where it was asked for; nothing was left half-written."""


class NoFaceError(InputError):
    """No face was found in an image that must show one."""


class AssetError(MfsError):
    """A model or data file is missing, can't be fetched, or isn't what its manifest says."""


class ConfigError(InputError):
    """An experiment, profile or network configuration is not valid."""


class RuntimeMissingError(MfsError):
    """An optional runtime isn't installed, or isn't made for this machine."""


class ParityError(MfsError):
    """A network and its copy in another format don't compute the same."""
