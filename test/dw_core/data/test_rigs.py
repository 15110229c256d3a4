import json

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from dw_core.data import assets
from dw_core.data.rigs import load_h36m, load_qualisys, load_rig, save_rig
from dw_core.errors import CalibrationError
from dw_core.geometry.camera import Camera, Rig, project


def camera(name, seed, model="pinhole", distortion=(1e-5, -2e-17, 0.1, 3.0, -0.2)):
    rng = np.random.default_rng(seed)
    K = np.array([[1000 / 3, 0.1, 320], [0, 1e3 / 7, 240], [0, 0, 1]])
    return Camera(
        name,
        640,
        480,
        K,
        np.array(distortion),
        Rotation.random(rng=rng).as_matrix(),
        rng.normal(size=3),
        model,
    )


@pytest.fixture
def rig():
    return Rig((camera("a", 1), camera("b", 2, "fisheye", (0.1, 0, 0, 1e-9)), camera("c", 3, distortion=())))


@pytest.fixture
def saved(rig, tmp_path):
    path = tmp_path / "rig.yaml"
    save_rig(rig, path, comment="made by a test\nof two lines")
    return path


def test_round_trip_to_the_last_bit(rig, saved):
    assert saved.read_text().startswith("# made by a test\n# of two lines\ncameras:\n")
    for before, after in zip(rig, load_rig(saved), strict=True):
        for field in ("name", "width", "height", "model"):
            assert getattr(before, field) == getattr(after, field)
        for field in ("K", "distortion", "R", "t"):
            np.testing.assert_array_equal(getattr(before, field), getattr(after, field))


def refused(path, load=load_rig, **arguments):
    with pytest.raises(CalibrationError) as error:
        load(path, **arguments)
    sentence = str(error.value)
    assert sentence.startswith(str(path)) and "\n" not in sentence
    return sentence.removeprefix(f"{path}: ")


def edited(path, change):
    document = yaml.safe_load(path.read_text())
    change(document["cameras"])
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c[1].pop("K"), "camera b: field 'K' is missing"),
        (
            lambda c: c[1].update(focal=3),
            "camera b: unknown field 'focal', expected name, width, height, K, R, t",
        ),
        (lambda c: c[0].update(width="wide"), "camera a: field 'width' is 'wide', expected a whole number"),
        (lambda c: c[0].update(name=7), "camera number 1: field 'name' is 7, expected a text"),
        (lambda c: c[2].update(t=[1, 2]), "camera c: field 't' has shape (2,), expected 3 numbers"),
        (lambda c: c[2].update(t=[1, 2, "x"]), "camera c: field 't' is [1, 2, 'x'], expected 3 numbers"),
        (lambda c: c[0].update(distortion=[[1]]), "camera a: field 'distortion' has shape (1, 1)"),
        (
            lambda c: c[0].update(distortion=[1, 2]),
            "camera a: distortion has 2 coefficients, expected one of",
        ),
        (lambda c: c[0].update(model="cylinder"), "camera a: distortion model is 'cylinder'"),
        (lambda c: c[0]["R"][0].__setitem__(0, 9.0), "camera a: R is not a rotation"),
        (lambda c: c[0]["K"][0].__setitem__(0, 0.0), "camera a: focal length is (0, "),
        (lambda c: c[1].update(name="a"), "the rig names camera a twice"),
        (lambda c: c.__delitem__(slice(1, None)), "the rig has 1 camera(s), expected 2 to 16"),
        (lambda c: c.__setitem__(0, "cam"), "camera number 1: expected fields name"),
    ],
)
def test_every_wrong_field_is_named(saved, change, sentence):
    assert refused(edited(saved, change)).startswith(sentence)


def test_files_that_are_no_rig(tmp_path):
    assert "cannot be read (No such file" in refused(tmp_path / "none.yaml")
    for text, sentence in (("cameras: 3", "expected one field 'cameras'"), ("[: {", "it is not YAML")):
        path = tmp_path / "rig.yaml"
        path.write_text(text)
        assert sentence in refused(path)
    (tmp_path / "rig.toml").write_text("")
    assert "of type '.toml' are not known, expected .yaml" in refused(tmp_path / "rig.toml")
    (tmp_path / "rig.xml").write_text("no xml")
    assert "it is not XML" in refused(tmp_path / "rig.xml")
    (tmp_path / "rig.xml").write_text("<calibration/>")
    assert "it holds no <camera>" in refused(tmp_path / "rig.xml")
    (tmp_path / "rig.yaml").write_bytes(b"\xff\xfe\x00")
    assert "it is not text" in refused(tmp_path / "rig.yaml")


def test_qualisys_of_the_footage():
    """Facts of the file: intrinsics in 1/64 pixel, millimetres, and cameras that look at the treadmill."""
    rig = load_rig(assets.calibration())
    assert rig.names == assets.VIEWS
    assert {(c.width, c.height) for c in rig} == {(1088, 1920)}
    np.testing.assert_allclose(rig[0].K[0], [107599.671875 / 64, 0, 34110.316406 / 64])
    np.testing.assert_allclose(rig[0].centre, [1.4602323709, -1.9091590482, 1.8965058524], atol=1e-9)
    for c in rig:
        x, y = project(c, np.array([-1.0, 0.0, 0.0]))
        assert 0 < x < c.width and 0 < y < c.height


def test_qualisys_with_a_field_gone(tmp_path):
    text = assets.calibration().read_text()
    path = tmp_path / "calib.qca.txt"
    path.write_text(text.replace('focalLengthU="107118.695313"', ""))
    assert (
        refused(path, load_qualisys) == "camera cam02: intrinsic focalLengthU is missing, expected a number"
    )
    path.write_text(text.replace('r11="-0.1966832217091926"', 'r11="north"'))
    assert refused(path, load_qualisys) == "camera cam02: transform r11 is 'north', expected a number"


@pytest.fixture
def h36m(tmp_path):
    pose = {"R": np.eye(3).tolist(), "t": [[1000.0], [0.0], [5000.0]]}
    lens = {
        "calibration_matrix": [[1145, 0, 512], [0, 1143, 515], [0, 0, 1]],
        "distortion": [-0.2, 0.2, 0, 0, 0],
    }
    names = ("54138969", "55011271")
    document = {"intrinsics": dict.fromkeys(names, lens), "extrinsics": {"S9": dict.fromkeys(names, pose)}}
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps(document))
    return path


def test_h36m_is_in_metres_with_its_image_sizes(h36m):
    rig = load_h36m(h36m, "S9")
    assert [(c.name, c.width, c.height) for c in rig] == [("54138969", 1000, 1002), ("55011271", 1000, 1000)]
    np.testing.assert_allclose(rig[0].t, [1, 0, 5])


def test_h36m_refuses_other_files_and_subjects(h36m):
    assert "there is no subject 'S2', expected one of S9" in refused(h36m, load_h36m, subject="S2")
    document = json.loads(h36m.read_text())
    del document["extrinsics"]["S9"]["54138969"]["t"]
    h36m.write_text(json.dumps(document))
    assert "camera 54138969 of S9: field 't' is missing" in refused(h36m, load_h36m, subject="S9")
    h36m.write_text("[]")
    assert "it is not a Human3.6M camera file" in refused(h36m, load_h36m, subject="S9")


@pytest.mark.parametrize("subject", ["S1", "S9", "S11"])
def test_the_cameras_of_human36m_look_at_the_middle_of_their_room(shared_data, subject):
    rig = load_h36m(shared_data / "rigs/h36m_cameras.json", subject)
    assert rig.names == ("54138969", "55011271", "58860488", "60457274")
    assert [(c.width, c.height) for c in rig] == [(1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002)]
    for camera in rig:
        assert 1.2 < camera.centre[2] < 1.9 and 3.5 < np.linalg.norm(camera.centre[:2]) < 6.0
        assert -camera.R[1, 2] > 0.9, "images are upright"
        pixel = project(camera, np.array((0.0, 0.0, 0.9)))
        assert (pixel > 200).all() and (pixel < 800).all()
