"""Surfaces: joined into one mesh, with the normals that their kind asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dw_core.synthetic.surface import Surface, joined, vertex_normals


def test_normals_of_a_ball_point_outwards(make_capsule: Callable[..., Surface]) -> None:
    ball = make_capsule((0, 0, 0.0), (0, 0, 1e-6), 0.5)
    normals = vertex_normals(ball.vertices, ball.faces)
    outwards = ball.vertices / 0.5
    inner = np.abs(outwards[:, 2]) < 0.9  # at the poles all corners of a ring are one point
    assert np.allclose(np.linalg.norm(normals[inner], axis=-1), 1, atol=1e-6)
    assert ((normals * outwards).sum(-1)[inner] > 0.99).all()


def test_joined_keeps_order_owner_and_source(make_capsule: Callable[..., Surface]) -> None:
    a, b = make_capsule((0, 0, 0), (0, 0, 1), 0.1), make_capsule((1, 0, 0), (1, 0, 1), 0.2)
    mesh = joined([a, b])
    assert np.array_equal(mesh.vertices, np.concatenate((a.vertices, b.vertices)))
    assert np.array_equal(np.unique(mesh.owner, return_counts=True)[1], [len(a.faces), len(b.faces)])
    assert np.array_equal(b.vertices[mesh.source[mesh.faces[mesh.owner == 1]]], b.vertices[b.faces])


def test_faces_of_a_flat_surface_have_normals_of_their_own(make_capsule: Callable[..., Surface]) -> None:
    flat = replace(make_capsule((0, 0, 0), (0, 0, 1), 0.1), smooth=False)
    mesh = joined([flat])
    assert len(mesh.vertices) == 3 * len(flat.faces)
    assert np.array_equal(mesh.vertices[mesh.faces], flat.vertices[flat.faces])
    normals = mesh.normals[mesh.faces]
    assert np.array_equal(normals[:, 0], normals[:, 1]) and np.array_equal(normals[:, 0], normals[:, 2])


def test_joined_of_nothing_is_an_empty_mesh() -> None:
    mesh = joined([])
    assert mesh.vertices.shape == mesh.faces.shape == (0, 3) and mesh.owner.shape == (0,)
