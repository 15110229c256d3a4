from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from dw_core.errors import ConfigError
from dw_core.synthetic.look import BOTTOMS, HAIRS, TOPS, Look, Print, dressed, random_look
from dw_core.synthetic.surface import vertex_normals


def at_rest(body, name):
    shape = body.shape(name)
    return body.posed(shape, np.tile(np.eye(3), (len(body.bones), 1, 1)), shape.heads[0])


@pytest.mark.parametrize("top", TOPS)
@pytest.mark.parametrize("bottom", BOTTOMS)
@pytest.mark.parametrize("hair", HAIRS)
def test_every_look_is_whole(body, top, bottom, hair):
    posed = at_rest(body, "woman-162")
    surfaces = dressed(body, Look("woman-162", top, bottom, hair), posed)
    assert len(surfaces) == 6 + {"none": 0, "cropped": 1, "short": 1, "ponytail": 2}[hair]
    for surface in surfaces:
        assert surface.vertices.dtype == surface.colours.dtype == np.float32
        assert surface.faces.dtype == np.int32
        assert surface.faces.min() >= 0 and surface.faces.max() < len(surface.vertices)
        assert surface.colours.shape == surface.vertices.shape
        assert surface.colours.min() >= 0 and surface.colours.max() <= 1


def outside(points, garments):
    """Which part of the points within 3 cm of a garment is over 3 mm outside of it, along its normals."""
    above = []
    for garment in garments:
        a, b, c = (garment.vertices[garment.faces[:, k]].astype(float) for k in range(3))
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        distance, face = cKDTree((a + b + c) / 3).query(points, distance_upper_bound=0.03)
        near = np.isfinite(distance)
        above.append(((points[near] - a[face[near]]) * normal[face[near]]).sum(1) > 0.003)
    together = np.concatenate(above)
    assert len(together) > 20
    return together.mean()


@pytest.mark.parametrize("name", ["woman-155", "woman-176", "man-168", "man-190"])
@pytest.mark.parametrize(("top", "bottom"), [("tee", "trousers"), ("shirt", "shorts"), ("tee", "skirt")])
def test_no_skin_is_outside_of_the_clothes(body, name, top, bottom):
    """But for a few vertices that are beyond a hem, such as the neck's."""
    posed = at_rest(body, name)
    skin, _, *garments = dressed(body, Look(name, top, bottom, "none"), posed)
    assert outside(skin.vertices[np.unique(skin.faces)], garments[:2]) < 0.05


def test_bodies_without_clothes_between_are_found_outside(body):
    """The control of the test above: skin that is moved out by twice the thickness of the clothes is seen."""
    posed = at_rest(body, "man-174")
    skin, _, *garments = dressed(body, Look("man-174", "shirt", "trousers", "none"), posed)
    moved = skin.vertices + 0.03 * vertex_normals(skin.vertices, skin.faces)
    assert outside(moved[np.unique(skin.faces)], garments[:2]) > 0.5


def test_clothes_hide_skin_and_more_of_them_hide_more(body):
    posed = at_rest(body, "man-174")
    faces = {
        top + bottom: len(dressed(body, Look("man-174", top, bottom), posed)[0].faces)
        for top in TOPS
        for bottom in BOTTOMS
    }
    assert faces["shirttrousers"] < faces["teetrousers"] < faces["teeshorts"]


def test_a_print_moves_with_the_body(body):
    shape = body.shape("man-174")
    look = Look("man-174", top_print=Print("stripes", 0.05, (0.8, 0.1, 0.1), 3))
    rest = at_rest(body, "man-174")
    moved = body.posed(shape, np.tile(np.eye(3), (len(body.bones), 1, 1)), shape.heads[0] + (2.0, 1.0, 0.0))
    first, second = (dressed(body, look, posed)[2] for posed in (rest, moved))
    assert first.pattern is not None and second.pattern is not None
    assert first.pattern.kind == "stripes" and first.pattern.scale_m == 0.05
    np.testing.assert_array_equal(first.pattern.coordinates, second.pattern.coordinates)
    np.testing.assert_allclose(first.pattern.coordinates, first.vertices, atol=1e-5)
    np.testing.assert_allclose(
        second.vertices - first.vertices, np.broadcast_to((2, 1, 0), first.vertices.shape), atol=1e-5
    )
    assert dressed(body, look, rest)[3].pattern is None


def test_random_looks_are_the_same_for_a_seed_and_of_all_kinds(body):
    looks = [random_look(seed) for seed in range(80)]
    assert looks == [random_look(seed) for seed in range(80)]
    assert {look.shape for look in looks} == set(body.shapes)
    assert {look.top for look in looks} == set(TOPS)
    assert {look.bottom for look in looks} == set(BOTTOMS)
    assert {look.hair for look in looks} == set(HAIRS)
    assert len({look.top_colour for look in looks}) == 80


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"top": "coat"}, "top is 'coat', expected tee, shirt"),
        ({"hair": "mohawk"}, "hair is 'mohawk'"),
        ({"shoe_colour": (0.1, 0.2, 1.2)}, "shoe_colour"),
        ({"skin_colour": (0.1, float("nan"), 0.2)}, "skin_colour"),
    ],
)
def test_looks_that_there_are_not_are_refused(change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        replace(Look("man-174"), **change)


def test_a_look_is_for_its_shape(body):
    with pytest.raises(ConfigError, match="of shape man-174, but the posed body is of man-190"):
        dressed(body, Look("man-174"), at_rest(body, "man-190"))
