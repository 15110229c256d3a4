"""The constants of a 2D network's errors, one set for each kind of joint.

Lengths are parts of the crop's side, so that they grow with the person; times are in seconds; heights of
peaks are given by their log-odds, in which they are about normal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array
from dw_core.skeleton import JointSet

FILE = Path(__file__).with_name("movenet.json")
KINDS = ("face", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
# Joints that are not themselves of a kind.
ALIKE = {"nose": "face", "eye": "face", "ear": "face", "head": "face"} | {
    "neck": "shoulder", "belly": "hip", "pelvis": "hip"
}  # fmt: skip
RANGES = (
    dict.fromkeys(("swap", "gross", "together", "second_at_partner", "height_tail"), (0.0, 1.0))
    | dict.fromkeys(("swap_s", "gross_s", "width", "swap_reach", "fast_s", "slow_s"), (1e-6, np.inf))
    | dict.fromkeys(("spread_along", "spread_across", "tail", "gross_distance"), (0.0, np.inf))
    | dict.fromkeys(("height_spread", "second_spread", "width_spread"), (0.0, np.inf))
)


@dataclass(frozen=True, kw_only=True)
class SeenErrors:
    """Of joints that are visible, or of those that are not.

    along: bias along the joint's axis (see `simulate`); apart: bias as a part of the way to the partner;
    spread_along, spread_across: robust standard deviations; tail: standard deviation of the log of their
    scale; height_tail: its correlation with low heights. swap: part of the time at the partner's place where
    that is just NEAR (see `simulate`), less by a factor of e for every swap_reach beyond; gross: part of the
    time elsewhere. height: median log-odds of the peak. second, second_spread: median and standard deviation
    of the log of the second peak's height over the first's.
    """

    along: float
    apart: float
    spread_along: float
    spread_across: float
    tail: float
    height_tail: float
    swap: float
    swap_reach: float
    gross: float
    height: float
    second: float
    second_spread: float


@dataclass(frozen=True, kw_only=True)
class KindErrors:
    """Of one kind of joint.

    shares: parts of the errors' variance that are new in every image, that pass, and that stay. swap_s,
    gross_s: mean durations. together: part of the swaps at which both sides swap. gross_distance: mean excess
    of gross errors over the least. swap_height, gross_height: of such peaks, added to the log-odds.
    height_spread: their standard deviation. second_at_partner: part of the second peaks that are at the
    partner's place. width: median standard deviation of peaks; width_by_height: change of its log with the
    height's log-odds; width_spread: what is left.
    """

    visible: SeenErrors
    occluded: SeenErrors
    shares: tuple[float, float, float]
    swap_s: float
    gross_s: float
    together: float
    gross_distance: float
    swap_height: float
    gross_height: float
    height_spread: float
    second_at_partner: float
    width: float
    width_spread: float
    width_by_height: float


@dataclass(frozen=True, kw_only=True)
class DetectorModel:
    """A network's errors: `kinds` by the names of KINDS.

    fast_s, slow_s: how long errors that pass, and that stay, are correlated; height_shares: as `shares`, of
    heights, widths, scales and second peaks; outside_height: added to the log-odds of what lies beyond the
    image.
    """

    fast_s: float
    slow_s: float
    height_shares: tuple[float, float, float]
    outside_height: float
    kinds: Mapping[str, KindErrors]

    def __post_init__(self) -> None:
        if set(self.kinds) != set(KINDS):
            raise ConfigError(f"errors of joints {', '.join(self.kinds)}, expected of {', '.join(KINDS)}")
        _check_numbers("", asdict(self))

    def table(self, joints: JointSet) -> dict[str, Array]:
        """Every constant of KindErrors for the joints of a set: (J,), and (J, 2) for those of SeenErrors,
        visible before occluded. Raises ConfigError for a joint of no known kind."""
        rows = [self.kinds[kind(joint)] for joint in joints.joints]
        out = {
            field.name: np.array([getattr(row, field.name) for row in rows])
            for field in fields(KindErrors)
            if field.name not in ("visible", "occluded")
        }
        for field in fields(SeenErrors):
            out[field.name] = np.array(
                [[getattr(seen, field.name) for seen in (row.visible, row.occluded)] for row in rows]
            )
        return out


def kind(joint: str) -> str:
    """Kind of a joint, by its name. Raises ConfigError for a name that is not known."""
    name = joint.split("_")[-1]
    found = ALIKE.get(name, name)
    if found not in KINDS:
        raise ConfigError(
            f"joint '{joint}' is of no known kind, expected one of {', '.join((*KINDS, *ALIKE))}"
        )
    return found


def load_model(path: Path = FILE) -> DetectorModel:
    """A model from a file that `dw_core.detector.fit` wrote; MoveNet Thunder's when none is given. Raises
    ConfigError for a file that cannot be read or is not one."""
    return _load(path)


@lru_cache(maxsize=4)
def _load(path: Path) -> DetectorModel:
    try:
        return from_json(json.loads(path.read_text()))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: the errors of a network cannot be read ({error})") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def from_json(tree: Any) -> DetectorModel:
    """A model from what `asdict` makes of one. Raises ConfigError for unknown or missing constants."""
    try:
        kinds = {
            name: KindErrors(
                **_tuples(one) | {seen: SeenErrors(**one[seen]) for seen in ("visible", "occluded")}
            )
            for name, one in tree["kinds"].items()
        }
        return DetectorModel(**_tuples(tree) | {"kinds": kinds})
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(f"not the errors of a network: {error}") from error


def _tuples(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in tree.items()}


def _check_numbers(path: str, tree: Mapping[str, Any]) -> None:
    """Raises ConfigError for a number that is not finite or out of its range."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            _check_numbers(f"{path}{name}.", value)
            continue
        shares = name.endswith("shares")
        if shares and (not isinstance(value, tuple) or len(value) != 3):
            raise ConfigError(f"{path}{name} is {value}, expected three parts of 1")
        numbers = value if shares else (value,)
        if not all(isinstance(number, (int, float)) and np.isfinite(number) for number in numbers):
            raise ConfigError(f"{path}{name} is {value}, expected a finite number")
        if shares and (min(numbers) < 0 or abs(sum(numbers) - 1) > 1e-6):
            raise ConfigError(f"{path}{name} is {value}, expected three parts of 1")
        low, high = RANGES.get(name, (-np.inf, np.inf))
        if not all(low <= number <= high for number in numbers):
            raise ConfigError(f"{path}{name} is {value}, expected {low:g} to {high:g}")
