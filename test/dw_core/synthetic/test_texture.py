"""Patterns and textures: within bounds, the same everywhere, and no finer than a pixel shows."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from dw_core.synthetic.surface import Pattern, PatternKind
from dw_core.synthetic.texture import Texture, TextureKind, patterned, textured

LIGHT, DARK = np.array([0.6, 0.5, 0.4], np.float32), np.array([0.1, 0.1, 0.2], np.float32)


def texture(kind: TextureKind, seed: int = 3) -> Texture:
    return Texture(kind, 0.3, DARK, seed, np.zeros((0, 2), np.float32))


@pytest.mark.parametrize("kind", get_args(PatternKind))
def test_a_pattern_shows_both_colours_and_nothing_else(kind: PatternKind) -> None:
    rest = np.random.default_rng(0).uniform(-1, 1, (5000, 3)).astype(np.float32)
    base = np.tile(LIGHT, (len(rest), 1))
    colours = patterned(Pattern(kind, 0.1, DARK, 7, rest), base, rest)
    assert colours.dtype == np.float32
    assert (colours >= DARK - 1e-6).all() and (colours <= LIGHT + 1e-6).all()
    share = (LIGHT[0] - colours[:, 0]) / (LIGHT[0] - DARK[0])
    assert (share < 0.1).mean() > 0.1 and (share > 0.9).mean() > 0.02
    # place by place: it does not matter who is asked beside
    assert np.array_equal(
        colours[37:50], patterned(Pattern(kind, 0.1, DARK, 7, rest), base[37:50], rest[37:50])
    )


@pytest.mark.parametrize("kind", get_args(TextureKind))
def test_a_texture_is_an_albedo_and_the_same_place_by_place(kind: TextureKind) -> None:
    place = np.random.default_rng(1).uniform(-4, 4, (5000, 2)).astype(np.float32)
    base, footprint = np.tile(LIGHT, (5000, 1)), np.full(5000, 0.002, np.float32)
    colours = textured(texture(kind), base, place, footprint)
    if kind != "picture":  # its sky brightens with height, and is never higher than itself
        assert (colours >= 0).all() and (colours <= 1).all()
    assert np.array_equal(
        colours[11:24], textured(texture(kind), base[11:24], place[11:24], footprint[11:24])
    )
    other = textured(texture(kind, seed=4), base, place, footprint)
    assert np.array_equal(colours, other) == (kind in ("glow", "wallpaper"))


@pytest.mark.parametrize("kind", ["tiles", "bricks", "planks", "wallpaper"])
def test_far_away_lines_fade_to_their_mean(kind: TextureKind) -> None:
    place = np.random.default_rng(2).uniform(-20, 20, (20000, 2)).astype(np.float32)
    base = np.tile(LIGHT, (len(place), 1))
    near = textured(texture(kind), base, place, np.full(len(place), 1e-4, np.float32))
    far = textured(texture(kind), base, place, np.full(len(place), 0.5, np.float32))
    assert far.std() < near.std()
    assert far.mean(0) == pytest.approx(near.mean(0), rel=0.25)
