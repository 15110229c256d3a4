"""Bodies of robots and people as capsules, and how far these are apart."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array


@dataclass(frozen=True, eq=False)
class Capsules:
    """N capsules: whatever lies within `radii` (N,) of the segments from `starts` to `ends` (N, 3); metres,
    all in one frame. Where start and end are the same it is a sphere.

    Raises ConfigError for shapes that do not fit together, values that are not finite, negative radii and
    names that come twice.
    """

    names: tuple[str, ...]
    starts: Array
    ends: Array
    radii: Array

    def __post_init__(self) -> None:
        N = len(self.names)
        for name, values, shape in (
            ("starts", self.starts, (N, 3)), ("ends", self.ends, (N, 3)), ("radii", self.radii, (N,)),
        ):  # fmt: skip
            if values.shape != shape:
                raise ConfigError(
                    f"{name} of the capsules have shape {values.shape}, expected {shape} for {N} name(s)"
                )
            if not np.isfinite(values).all():
                raise ConfigError(f"{name} of the capsules hold a value that is not finite")
        if (self.radii < 0).any():
            raise ConfigError(f"capsule '{self.names[int(self.radii.argmin())]}' has a radius below 0 m")
        if len(set(self.names)) != N:
            raise ConfigError(f"capsule names {', '.join(self.names)} are not all different")

    def __len__(self) -> int:
        return len(self.names)

    def moved(self, rotations: Array, translations: Array) -> Capsules:
        """Each capsule with a motion of its own, R x + t: rotations (N, 3, 3), translations (N, 3) m."""
        starts, ends = (
            np.einsum("nij,nj->ni", rotations, points) + translations for points in (self.starts, self.ends)
        )
        return replace(self, starts=starts, ends=ends)


@dataclass(frozen=True, eq=False)
class Gaps:
    """Between N and M capsules: `distances` (N, M) m from surface to surface, 0 where they touch or overlap;
    `directions` (N, M, 3) of unit length from the nearest point on an axis of the first to that on an axis of
    the second, zero where the axes meet."""

    distances: Array
    directions: Array


def gaps(first: Capsules, second: Capsules) -> Gaps:
    """All gaps between N and M capsules of one frame.

    The squared distance of two segments is convex over the unit square of places on them, so its minimum
    is where its gradient vanishes, if that is in the square, or else on one of the four sides, which are
    distances of an end to a segment. All five places are tried.
    """
    u, w = (first.ends - first.starts)[:, None], (second.ends - second.starts)[None]
    r = first.starts[:, None] - second.starts[None]
    uu, ww, uw = _dot(u, u), _dot(w, w), _dot(u, w)
    ur, wr = _dot(u, r), _dot(w, r)
    determinant = uu * ww - uw * uw
    zero = np.zeros_like(uw)
    s = [_place(uw * wr - ww * ur, determinant), zero, zero + 1, _place(-ur, uu), _place(uw - ur, uu)]
    t = [_place(uu * wr - uw * ur, determinant), _place(wr, ww), _place(wr + uw, ww), zero, zero + 1]
    apart = r - np.stack(t)[..., None] * w + np.stack(s)[..., None] * u  # (5, N, M, 3), second to first
    nearest = _dot(apart, apart).argmin(0)
    apart = np.take_along_axis(apart, nearest[None, ..., None], 0)[0]
    length = np.linalg.norm(apart, axis=-1)
    directions = np.divide(-apart, length[..., None], out=np.zeros_like(apart), where=length[..., None] > 0)
    return Gaps(np.maximum(length - first.radii[:, None] - second.radii, 0.0), directions)


def _dot(a: Array, b: Array) -> Array:
    return np.asarray((a * b).sum(-1))


def _place(numerator: Array, denominator: Array) -> Array:
    """A place on a segment in [0, 1]; 0 on one of no length, and where two are parallel."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    place = np.divide(numerator, denominator, out=np.zeros(shape), where=denominator > 1e-12)
    return np.asarray(np.clip(place, 0.0, 1.0))
