"""Everything that can be wrong with what a user gave us, as typed exceptions.

Each message is one sentence that names the thing, says what was expected and, where
there is one, the command that mends it. Command lines and nodes print the sentence and
exit with `EXIT_BAD_INPUT`; anything else that escapes is a defect of ours.
"""

EXIT_BAD_INPUT = 2


class DwError(Exception):
    """Base of all errors caused by input, configuration or environment."""


class ConfigError(DwError):
    """A parameter, option or configuration file has a wrong name or value."""


class CalibrationError(DwError):
    """A camera or rig is not a possible camera or rig."""


class ScheduleError(DwError):
    """A trigger schedule cannot be executed (phases collide, rate out of range, ...)."""


class AssetError(DwError):
    """A downloaded file is missing or is not the one that was pinned."""


class MediaError(DwError):
    """A video or image cannot be found or read."""


class MotionError(DwError):
    """A motion capture file cannot be found or read, or is not what its format says."""
