"""Which motion capture is for training, validation and test, from one YAML file (config/splits.yaml).

python -m dw_core.data.splits config/splits.yaml DATA test [FILES_PER_FOLDER]

prints the files of a split, or of every folder so many that lie evenly among them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import yaml

from dw_core.data.motion import Motion, load_motion, motion_files
from dw_core.errors import ConfigError


@dataclass(frozen=True)
class Splits:
    """folders (or files) of each split, and rates in Hz of folders whose files say a wrong one; paths are
    relative to a data folder. Raises ConfigError when a path is in two splits, or in another path."""

    folders: Mapping[str, tuple[str, ...]]
    rates_hz: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        paths = [(Path(path), split) for split, folders in self.folders.items() for path in folders]
        for k, (path, split) in enumerate(paths):
            for other, its in paths[k + 1 :]:
                if path in (other, *other.parents) or other in path.parents:
                    raise ConfigError(f"splits: {path} ({split}) and {other} ({its}) overlap")

    def files(self, split: str, data: Path, per_folder: int | None = None) -> list[Path]:
        """The motion files of a split below a data folder, or of every folder so many that lie evenly among
        them. Raises ConfigError for an unknown split, MotionError for a folder without motion."""
        if split not in self.folders:
            raise ConfigError(f"splits: there is no split '{split}', expected {', '.join(self.folders)}")
        found = []
        for folder in self.folders[split]:
            files = motion_files([data / folder])
            count = min(per_folder or len(files), len(files))
            found += [files[k] for k in ((np.arange(count) + 0.5) * len(files) / count).astype(int)]
        return found

    def motion(self, file: Path, data: Path) -> Motion:
        """The motion of a file below the data folder, at its true rate. Raises MotionError."""
        motion = load_motion(file)
        for folder, rate_hz in self.rates_hz.items():
            if data / folder in (file, *file.parents):
                return replace(motion, rate_hz=rate_hz)
        return motion


def load_splits(path: Path) -> Splits:
    """Splits from YAML. Raises ConfigError for a file that cannot be read or holds something else."""
    try:
        document = yaml.safe_load(path.read_text())
        folders = {name: tuple(map(str, paths)) for name, paths in document["splits"].items()}
        rates = {str(folder): float(rate) for folder, rate in document.get("rates_hz", {}).items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{path}: it cannot be read as splits in YAML ({error}), expected `splits` and `rates_hz`"
        ) from error
    return Splits(folders, rates)


if __name__ == "__main__":
    count = int(sys.argv[4]) if len(sys.argv) > 4 else None
    data = Path(sys.argv[2])
    print(*load_splits(Path(sys.argv[1])).files(sys.argv[3], data, count))
