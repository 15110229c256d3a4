"""What people wear: garments, colours and prints, hair, the tone of the skin; and the surfaces of a posed
body.

Colours are linear RGB albedos in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array
from dw_core.synthetic.body import Body, Posed, load_body
from dw_core.synthetic.surface import Pattern, PatternKind, Surface
from dw_core.types import Float32Array

Colour = tuple[float, float, float]
Top = Literal["tee", "shirt"]
Bottom = Literal["trousers", "shorts", "skirt"]
Hair = Literal["none", "cropped", "short", "ponytail"]
TOPS: tuple[Top, ...] = ("tee", "shirt")
BOTTOMS: tuple[Bottom, ...] = ("trousers", "shorts", "skirt")
HAIRS: tuple[Hair, ...] = ("none", "cropped", "short", "ponytail")
HAIR_PARTS = {"none": (), "cropped": ("cropped",), "short": ("short",), "ponytail": ("cropped", "tail")}
PRINTS: tuple[PatternKind, ...] = ("stripes", "checks", "spots", "noise")

# Numbers of `Part.paint`, as tools/body_parts.py gives them.
SKIN, LIPS, BROWS, WHITE, IRIS, PUPIL, CLOTH, HAIR = range(8)
# From the darkest skin to the lightest.
SKIN_TONES = np.array([(0.055, 0.024, 0.014), (0.16, 0.075, 0.042), (0.38, 0.20, 0.115), (0.62, 0.40, 0.29)])
HAIR_COLOURS = np.array(
    [
        (0.012, 0.010, 0.009),
        (0.035, 0.020, 0.013),
        (0.10, 0.052, 0.028),
        (0.30, 0.19, 0.09),
        (0.35, 0.34, 0.33),
    ]
)
EYE_COLOURS = np.array([(0.03, 0.015, 0.008), (0.08, 0.05, 0.02), (0.05, 0.09, 0.14)])


@dataclass(frozen=True)
class Print:
    """A pattern on a garment: its kind, the length of its repeat in metres and its colour."""

    kind: PatternKind
    scale_m: float
    colour: Colour
    seed: int = 0


@dataclass(frozen=True)
class Look:
    """One person: a shape of the body, and all that is seen of it.

    Raises ConfigError for a garment or hair that there is not, and a colour outside of [0, 1].
    """

    shape: str
    top: Top = "tee"
    bottom: Bottom = "trousers"
    hair: Hair = "short"
    skin_colour: Colour = (0.5, 0.3, 0.2)
    hair_colour: Colour = (0.035, 0.02, 0.013)
    eye_colour: Colour = (0.08, 0.05, 0.02)
    top_colour: Colour = (0.3, 0.3, 0.3)
    bottom_colour: Colour = (0.03, 0.04, 0.08)
    shoe_colour: Colour = (0.05, 0.05, 0.05)
    sole_colour: Colour = (0.5, 0.5, 0.5)
    top_print: Print | None = None
    bottom_print: Print | None = None

    def __post_init__(self) -> None:
        for what, value, known in (
            ("top", self.top, TOPS),
            ("bottom", self.bottom, BOTTOMS),
            ("hair", self.hair, HAIRS),
        ):
            if value not in known:
                raise ConfigError(f"look: {what} is '{value}', expected {', '.join(known)}")
        for name, value in vars(self).items():
            if name.endswith("_colour") and not (len(value) == 3 and all(0 <= c <= 1 for c in value)):
                raise ConfigError(f"look: {name} is {value}, expected three numbers from 0 to 1")


def dressed(body: Body, look: Look, posed: Posed) -> list[Surface]:
    """What is seen of a posed body: skin, eyes, top, bottom, shoes, hair; vertices (V, 3) in the world.

    Skin that the clothes cover is left out. Raises ConfigError when the look is of another shape.
    """
    if look.shape != posed.shape.name:
        raise ConfigError(f"the look is of shape {look.shape}, but the posed body is of {posed.shape.name}")
    palette = _palette(look)
    covered = body.hidden[look.top] | body.hidden[look.bottom] | body.hidden["shoes"]
    skin = body.surface("skin", posed, palette[body.parts["skin"].paint])
    surfaces = [
        Surface(skin.vertices, skin.faces[~covered], skin.colours),
        body.surface("eyes", posed, palette[body.parts["eyes"].paint]),
        _garment(body, look.top, posed, look.top_colour, look.top_print),
        _garment(body, look.bottom, posed, look.bottom_colour, look.bottom_print),
        body.surface("shoes", posed, np.array(look.shoe_colour, dtype=np.float32)),
        body.surface("soles", posed, np.array(look.sole_colour, dtype=np.float32)),
    ]
    surfaces += [body.surface(part, posed, palette[HAIR]) for part in HAIR_PARTS[look.hair]]
    return surfaces


def _palette(look: Look) -> Float32Array:
    """Colours (8, 3) by the numbers of the paint."""
    skin = np.array(look.skin_colour)
    lips = skin * (0.85, 0.62, 0.62)
    brows = 0.55 * np.array(look.hair_colour) + 0.4 * skin
    white, pupil, cloth = (0.75, 0.72, 0.68), (0.005, 0.005, 0.005), (0.5, 0.5, 0.5)
    colours = (skin, lips, brows, white, look.eye_colour, pupil, cloth, look.hair_colour)
    return np.array(colours, dtype=np.float32)


def _garment(body: Body, name: str, posed: Posed, colour: Colour, print_: Print | None) -> Surface:
    surface = body.surface(name, posed, np.array(colour, dtype=np.float32))
    if print_ is None:
        return surface
    rest = posed.shape.vertices[body.parts[name].vertices].astype(np.float32)
    second = np.array(print_.colour, dtype=np.float32)
    pattern = Pattern(print_.kind, print_.scale_m, second, print_.seed, rest)
    return Surface(surface.vertices, surface.faces, surface.colours, pattern=pattern)


def random_look(seed: int) -> Look:
    """Somebody, the same one for the same seed."""
    rng = np.random.default_rng([seed, 0x100C])
    shape = str(rng.choice(list(load_body().shapes)))
    woman = shape.startswith("woman")
    bottom = BOTTOMS[rng.choice(3, p=(0.55, 0.2, 0.25) if woman else (0.7, 0.3, 0.0))]
    hair = HAIRS[rng.choice(4, p=(0.0, 0.1, 0.3, 0.6) if woman else (0.1, 0.3, 0.6, 0.0))]
    tone = (len(SKIN_TONES) - 1) * rng.random() ** 0.6
    skin = _between(SKIN_TONES, tone) * rng.uniform(0.9, 1.1, 3)
    # fair hair goes with fair skin
    hair_colour = HAIR_COLOURS[rng.integers(0, len(HAIR_COLOURS) if tone > 1.7 else 2)] * rng.uniform(
        0.8, 1.2
    )
    eyes = EYE_COLOURS[rng.integers(0, len(EYE_COLOURS) if tone > 1.7 else 1)]
    return Look(
        shape, TOPS[rng.integers(2)], bottom, hair, _colour(skin), _colour(hair_colour), _colour(eyes),
        top_colour=_cloth(rng), bottom_colour=_cloth(rng), shoe_colour=_cloth(rng),
        sole_colour=_colour(np.full(3, rng.choice((0.03, 0.6)))),
        top_print=_print(rng, 0.5), bottom_print=_print(rng, 0.2),
    )  # fmt: skip


def _print(rng: np.random.Generator, probability: float) -> Print | None:
    kind = PRINTS[rng.integers(len(PRINTS))]
    scale_m, colour, seed = rng.uniform(0.02, 0.12), _cloth(rng), int(rng.integers(2**31))
    return Print(kind, float(scale_m), colour, seed) if rng.random() < probability else None


def _between(colours: Array, place: float) -> Array:
    """Geometric mean of the two colours beside a place among them."""
    k = min(int(place), len(colours) - 2)
    mixed: Array = np.exp((1 - (place - k)) * np.log(colours[k]) + (place - k) * np.log(colours[k + 1]))
    return mixed


def _cloth(rng: np.random.Generator) -> Colour:
    """A colour from black to white, mostly muted."""
    value, hue, saturation = rng.uniform(0.02, 0.75) ** 1.3, rng.uniform(0, 1), rng.beta(1.2, 2.5)
    turn = np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1
    return _colour(value * (1 - saturation * (1 - np.clip(turn, 0, 1))))


def _colour(values: Array) -> Colour:
    r, g, b = np.clip(values, 0.0, 1.0).tolist()
    return (r, g, b)
