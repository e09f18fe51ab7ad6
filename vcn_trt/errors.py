"""The exceptions a user can meet. Each message says what was found, what was expected and what to do next."""

from __future__ import annotations


class VcnError(Exception):
    """Base of all. The command line prints its text and ends with `exit_code`, without a traceback."""

    exit_code = 1


class UsageError(VcnError):
    """An option, a config key or an argument that cannot be meant."""

    exit_code = 2


class VideoError(VcnError):
    """One video that cannot be read. The other videos of a run go on without it."""


class ModelError(VcnError):
    """Weights that are missing, damaged or not of the manifest's architecture."""


class RunError(VcnError):
    """A run directory that cannot be used: of another config, half copied, of a newer version, without space."""


class DeviceError(VcnError):
    """A device that was asked for and is not there."""


class LabelError(VcnError):
    """A label file that cannot be read."""
