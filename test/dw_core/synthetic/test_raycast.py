"""Embree and the z-buffer, which know nothing of each other, see the same."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable

import numpy as np
import pytest

from dw_core.geometry.camera import Array, Camera, shifted
from dw_core.synthetic import raycast
from dw_core.synthetic.optics import Optics, camera_rays
from dw_core.synthetic.raycast import EmbreeCaster
from dw_core.synthetic.shading import Light, dome
from dw_core.synthetic.surface import Float32Array, Mesh, Surface, joined
from dw_core.synthetic.zbuffer import NO_HIT, Hits, ZBufferCaster

HAS_WHEEL = sys.platform != "linux" or platform.machine() == "x86_64"
needs_embree = pytest.mark.skipif(not HAS_WHEEL, reason="embreex has no wheel for this platform")
EMBREE = pytest.param(EmbreeCaster, marks=needs_embree)
DEPTH_M = 1e-5


@pytest.fixture(scope="module")
def scene(figure: list[Surface]) -> Mesh:
    """The figure on a floor that reaches behind the cameras."""
    corners = np.array([[-9, -9, 0], [9, -9, 0], [9, 9, 0], [-9, 9, 0]], np.float32)
    floor = Surface(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32), np.ones((4, 3), np.float32), False)
    return joined([*figure, floor])


def seen(kind: Callable[..., EmbreeCaster | ZBufferCaster], mesh: Mesh, camera: Camera) -> Hits:
    rays = camera_rays(camera, Optics())
    return kind(mesh.vertices, mesh.faces).first(camera.centre.astype(np.float32), rays)


@needs_embree
@pytest.mark.parametrize("number", range(4))
def test_silhouettes_are_the_same_to_the_sample_and_depths_to_a_hundredth_of_a_mm(
    scene: Mesh, cameras: list[Camera], number: int
) -> None:
    fast, reference = (seen(kind, scene, cameras[number]) for kind in (EmbreeCaster, ZBufferCaster))
    owner = [np.append(scene.owner, NO_HIT)[hits.triangle] for hits in (fast, reference)]
    assert len(np.unique(owner[1])) > 8
    assert np.array_equal(*owner)
    hit = reference.triangle != NO_HIT
    # far away on the floor a depth is long and its ray grazes: there float32 itself is coarser
    near = hit & (reference.distance < 8)
    assert near.sum() > 5000
    assert np.abs(fast.distance[near] - reference.distance[near]).max() < DEPTH_M


@needs_embree
def test_half_a_pixel_would_have_been_noticed(scene: Mesh, cameras: list[Camera]) -> None:
    camera = cameras[0]
    moved = shifted(camera, 0.5, 0.0, camera.width, camera.height)
    fast, reference = seen(EmbreeCaster, scene, camera), seen(ZBufferCaster, scene, moved)
    owner = [np.append(scene.owner, NO_HIT)[hits.triangle] for hits in (fast, reference)]
    assert (owner[0] != owner[1]).sum() > 100
    both = (owner[0] == owner[1]) & (owner[0] != NO_HIT)
    assert np.abs(fast.distance[both] - reference.distance[both]).max() > 100 * DEPTH_M


@pytest.mark.parametrize("kind", [ZBufferCaster, EMBREE])
def test_a_hit_is_where_its_weights_say(
    kind: Callable[..., EmbreeCaster | ZBufferCaster], scene: Mesh, cameras: list[Camera]
) -> None:
    camera = cameras[1]
    hits = seen(kind, scene, camera)
    at = np.flatnonzero(hits.distance < 8)
    a, b, c = scene.vertices[scene.faces[hits.triangle[at]]].transpose(1, 0, 2).astype(np.float64)
    u, v = hits.u[at, None], hits.v[at, None]
    ray = camera_rays(camera, Optics())[at]
    assert (
        np.abs((1 - u - v) * a + u * b + v * c - camera.centre - ray * hits.distance[at, None]).max() < 2e-5
    )


@pytest.mark.parametrize("kind", [ZBufferCaster, EMBREE])
def test_a_square_is_hit_where_it_is(kind: Callable[..., EmbreeCaster | ZBufferCaster]) -> None:
    square = np.array([[2, -1, -1], [2, 1, -1], [2, 1, 1], [2, -1, 1]], np.float32)
    caster = kind(square, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    ways = np.array([[2, 0.3, 0.2], [2, -0.99, 0.99], [2, 1.01, 0.0], [2, 0.0, -1.01]])
    length = np.linalg.norm(ways, axis=-1)
    hits = caster.first(np.zeros(3, np.float32), (ways / length[:, None]).astype(np.float32))
    assert np.array_equal(hits.triangle != NO_HIT, [True, True, False, False])
    assert np.allclose(hits.distance[:2], length[:2], atol=1e-6) and np.isinf(hits.distance[2:]).all()


@pytest.mark.parametrize("kind", [ZBufferCaster, EMBREE])
def test_only_what_is_between_blocks(kind: Callable[..., EmbreeCaster | ZBufferCaster]) -> None:
    square = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], np.float32)
    caster = kind(square, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    # below the square, above it, beside it; the lamp hangs at 3 m, another below the square, and a sun
    points = np.array([[0, 0.1, 0], [0, 0.1, 2], [2.5, 0, 0], [0.2, 0, 0], [0.2, 0, 0]], np.float32)
    lights = np.array([[0, 0, 3, 1], [0, 0, 0.9, 1], [0.6, 0, 0.8, 0]], np.float32)
    which = np.array([0, 0, 0, 1, 2], np.int32)
    assert caster.blocked(points, lights, which, np.inf).tolist() == [True, False, False, False, True]
    assert caster.blocked(points, lights, which, 0.9).tolist() == [False] * 5
    assert caster.blocked(points, lights, which, 1.3).tolist() == [True, False, False, False, True]


@needs_embree
def test_shadows_are_the_same(scene: Mesh, person: Array) -> None:
    rng = np.random.default_rng(0)
    points = (rng.uniform((-1.5, -1.5, 0.01), (1.5, 1.5, 1.8), (4000, 3))).astype(np.float32)
    light = Light(
        *(np.array(v, np.float32) for v in ((0.5, 0.3, 2.6), (0, 0, -1))), 0.3, np.ones(3, np.float32)
    )
    which = rng.choice([0, 5, 15], len(points)).astype(np.int32)
    casters = [kind(scene.vertices, scene.faces) for kind in (EmbreeCaster, ZBufferCaster)]
    for lights, reach in ((light.points(), np.inf), (dome(), 0.4)):
        fast, reference = (caster.blocked(points, lights, which, reach) for caster in casters)
        assert 50 < reference.sum() < 3000
        assert (fast != reference).sum() <= 2  # rays that graze an edge


@pytest.mark.parametrize("kind", [ZBufferCaster, EMBREE])
def test_nothing_is_hit_where_nothing_is(kind: Callable[..., EmbreeCaster | ZBufferCaster]) -> None:
    caster = kind(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
    up: Float32Array = np.array([[0, 0, 1]], np.float32)
    assert caster.first(np.zeros(3, np.float32), up).triangle.tolist() == [NO_HIT]
    assert not caster.blocked(np.zeros((1, 3), np.float32), dome(), np.zeros(1, np.int32), np.inf).any()


def test_without_embree_the_z_buffer_stands_in(monkeypatch: pytest.MonkeyPatch, scene: Mesh) -> None:
    assert isinstance(raycast.caster(scene.vertices, scene.faces), EmbreeCaster) == HAS_WHEEL
    monkeypatch.setattr(raycast, "EmbreeScene", None)
    assert isinstance(raycast.caster(scene.vertices, scene.faces), ZBufferCaster)
