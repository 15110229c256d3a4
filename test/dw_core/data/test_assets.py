import hashlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from dw_core.cli.main import main
from dw_core.data import assets
from dw_core.data.footage import Footage, decode_jpeg
from dw_core.errors import AssetError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DW_CACHE", str(tmp_path))
    return tmp_path


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("DW_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert assets.cache_folder() == tmp_path / "xdg" / "dw_ros"
    monkeypatch.setenv("DW_CACHE", str(tmp_path / "own"))
    assert assets.cache_folder() == tmp_path / "own"
    monkeypatch.delenv("DW_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert assets.cache_folder() == tmp_path / ".cache" / "dw_ros"


@pytest.mark.parametrize("door", [assets.footage, assets.movenet, assets.calibration])
def test_what_was_not_fetched_says_so(cache, door):
    with pytest.raises(AssetError, match="is not there, run `dw fetch`"):
        door()
    assert [(a.present, "dw fetch" in a.detail) for a in assets.status()] == [(False, True)] * 2


def test_verify_takes_the_pinned_file_only(tmp_path):
    folder = tmp_path / "original"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"pinned")
    digest = hashlib.sha256(b"pinned").hexdigest()
    assets.verify(folder, {"package/models/weights.bin": digest})
    (folder / "weights.bin").write_bytes(b"tampered")
    found = hashlib.sha256(b"tampered").hexdigest()
    with pytest.raises(AssetError) as error:
        assets.verify(folder, {"package/models/weights.bin": digest})
    assert str(error.value) == (
        f"{folder}/weights.bin: SHA-256 is {found}, expected {digest}: "
        f"delete {tmp_path} and run `dw fetch` again"
    )
    (folder / "weights.bin").unlink()
    with pytest.raises(AssetError, match="SHA-256 is no file"):
        assets.verify(folder, {"package/models/weights.bin": digest})


@pytest.fixture
def fetched():
    return assets.footage()


def test_damaged_cache_is_reported_by_dw_fetch_with_exit_code_2(fetched, cache, capsys):
    copy = cache / fetched.name
    shutil.copytree(fetched / "original", copy / "original")
    video = copy / "original" / "cam02.mp4"
    video.write_bytes(video.read_bytes()[:-1] + b"\0")
    assert main(["fetch", "--quiet"]) == 2
    sentence = capsys.readouterr().err
    assert "cam02.mp4: SHA-256 is" in sentence and f"delete {copy} and run `dw fetch` again" in sentence
    assert sentence.count("\n") == 1


def test_failing_package_manager_leaves_nothing_behind(cache, monkeypatch):
    """No index to ask: pip's last words reach the user, and no half-made folder stays."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(AssetError, match="could not get pose2sim==0.10.49 .*check the network"):
        assets.fetch(progress=False)
    assert list(cache.iterdir()) == []


def test_fetched_footage_is_four_views_of_100_frames_at_60_hz():
    footage = Footage.open(assets.footage(), assets.VIEWS)
    assert footage.rate_hz == pytest.approx(60, abs=0.1)
    assert [footage.frames(view) for view in footage.views] == [100] * 4
    shapes = [decode_jpeg(footage.jpeg(view, 99)).shape for view in footage.views]
    assert shapes == [(1920, 1080, 3)] * 2 + [(1920, 1088, 3)] * 2
    black = decode_jpeg(footage.jpeg("cam01", 0))[:6]
    assert np.median(black) < 10  # cam01 and cam02 lie between black rows: the rig file relies on it


def test_second_fetch_is_instant_and_needs_no_network(tmp_path):
    """With no index and no npm to ask, fetching what is there succeeds."""
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PATH": str(tmp_path)}
    command = [sys.executable, "-m", "dw_core.cli.main", "fetch"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(assets.footage()) in done.stdout


def test_int8_is_for_processors_that_have_it(monkeypatch):
    monkeypatch.setattr(assets, "has_vnni", lambda: False)
    assert assets.movenet().name == assets.FLOAT32
    monkeypatch.setattr(assets, "has_vnni", lambda: True)
    assert assets.movenet().name == assets.INT8
    assert assets.movenet("float32").name == assets.FLOAT32
