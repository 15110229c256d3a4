"""Soft shadows from one ray per sample: the samples of a block together have asked every point of a lamp.

Where a block of pixels lies on one plane, each of its samples takes the part of the lamp that the whole
block saw; where it does not, each keeps its own answer. No noise, no pattern, no ray more.
Source: interleaved sampling, Keller and Heidrich, Eurographics Workshop on Rendering 2001.
Shapes: H W pixels, S samples per pixel, N = H W S, n some of them, B blocks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dw_core.synthetic.surface import Float32Array, Int32Array

Samples = npt.NDArray[np.int64]
LAMP_POINTS = 16


class Blocks:
    """The blocks of LAMP_POINTS samples of an image: 2 x 2 pixels of four samples, 4 x 4 pixels of one."""

    def __init__(self, height: int, width: int, samples: int, planes: Int32Array) -> None:
        """`planes` (N,): the number of the plane that each sample lies on."""
        self._height, self._width, self._per_pixel = height, width, samples**2
        self._side = 4 // samples
        self._columns = -(-width // self._side)
        self.count = self._columns * -(-height // self._side)
        block = self.of(np.arange(len(planes)))
        last = np.empty(self.count, np.int32)
        last[block] = planes
        self._flat = np.ones(self.count, np.bool_)
        self._flat[block[planes != last[block]]] = False

    def of(self, samples: Samples) -> Samples:
        """The blocks (n,) of samples (n,)."""
        row, column = np.divmod(samples // self._per_pixel, self._width)
        block: Samples = row // self._side * self._columns + column // self._side
        return block

    def counts(self, samples: Samples) -> Samples:
        """How many of the samples (n,) are in each block (B,)."""
        counts: Samples = np.bincount(self.of(samples), minlength=self.count)
        return counts

    def seen(self, blocked: Samples, lit: Samples) -> tuple[Samples, Float32Array]:
        """Samples (n,) that see less of a lamp, and the part (n,) that they see.

        `blocked`: the samples whose rays are blocked; `lit` (B,): how many rays of each block were cast.
        """
        dark = self.counts(blocked)
        blocks = np.flatnonzero(dark)
        blocks = blocks[self._flat[blocks]]
        part = 1 - dark[blocks].astype(np.float32) / lit[blocks].astype(np.float32)
        members, of_block = self._members(blocks)
        alone = blocked[~self._flat[self.of(blocked)]]
        return (
            np.concatenate((members, alone)),
            np.concatenate((part[of_block], np.zeros(len(alone), np.float32))),
        )

    def _members(self, blocks: Samples) -> tuple[Samples, Samples]:
        """All samples of some blocks (n,), and which of the blocks each is in."""
        within = np.arange(self._side)
        rows = (blocks // self._columns * self._side)[:, None, None, None] + within[:, None, None]
        columns = (blocks % self._columns * self._side)[:, None, None, None] + within[:, None]
        pixels = rows * self._width + columns
        samples = pixels * self._per_pixel + np.arange(self._per_pixel)
        inside = np.broadcast_to((rows < self._height) & (columns < self._width), samples.shape)
        of_block = np.broadcast_to(np.arange(len(blocks))[:, None, None, None], samples.shape)
        return samples[inside], of_block[inside]
