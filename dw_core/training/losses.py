"""What a Warper is trained to make small."""

from __future__ import annotations

from torch import Tensor

# Barron's robust loss as the paper has it: quadratic up to some cells, and flat beyond, where a network saw
# something else altogether.
ALPHA, SCALE_CELLS = -10.0, 8.0


def barron(x: Tensor) -> Tensor:
    """Barron's robust loss (...) of errors (...) >= 0 in cells, alpha = -10, c = 8, times c^2 so that it is
    x^2 / 2 near zero. Source: Barron, "A General and Adaptive Robust Loss Function", CVPR 2019, equation 1;
    constants of DenseWarper (ICLR 2026)."""
    b = abs(ALPHA - 2)
    return SCALE_CELLS**2 * (b / ALPHA) * (((x / SCALE_CELLS) ** 2 / b + 1) ** (ALPHA / 2) - 1)


def position_loss(kind: str, error: Tensor) -> Tensor:
    """Loss (...) of errors (..., D) of positions in cells: `barron` of the L1 distance, `l1` or `l2`."""
    if kind == "l1":
        return error.abs().sum(-1)
    if kind == "l2":
        return (error * error).sum(-1)
    return barron(error.abs().sum(-1))
