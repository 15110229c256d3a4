import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dw_core.data import footage as module
from dw_core.data.footage import Footage, decode_jpeg, ping_pong, unpack, write_frames
from dw_core.errors import ConfigError, MediaError


def grey(level, rows=64, columns=96):
    return np.full((rows, columns, 3), level, np.uint8)


@pytest.fixture
def clip(tmp_path):
    """A video of 12 frames at 30 Hz whose frame i is grey of level 20 i."""
    path = tmp_path / "source" / "left.avi"
    path.parent.mkdir()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30.0, (96, 64))
    for i in range(12):
        writer.write(grey(20 * i))
    writer.release()
    return path


def levels(footage, view):
    return [round(decode_jpeg(footage.jpeg(view, i)).mean() / 20) for i in range(footage.frames(view))]


def test_ping_pong_repeats_no_end():
    assert [ping_pong(i, 4) for i in range(10)] == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]
    assert [ping_pong(i, 1) for i in range(3)] == [0, 0, 0]
    with pytest.raises(ConfigError, match="0 frames"):
        ping_pong(0, 0)


@given(st.integers(0, 10**6), st.integers(2, 500))
def test_ping_pong_moves_one_frame_at_a_time(index, count):
    here, there = ping_pong(index, count), ping_pong(index + 1, count)
    assert 0 <= here < count
    assert abs(here - there) == 1


def test_video_is_unpacked_once_and_read_in_any_order(clip, tmp_path):
    cache = tmp_path / "cache"
    footage = Footage.open(clip.parent, ["left"], cache=cache)
    assert (footage.rate_hz, footage.frames("left")) == (30.0, 12)
    assert levels(footage, "left") == list(range(12))
    made = [p.stat().st_mtime_ns for p in footage.files["left"]]
    again = Footage.open(clip.parent, ["left"], cache=cache)
    assert [p.stat().st_mtime_ns for p in again.files["left"]] == made
    assert [p.name for p in cache.iterdir() if p.name.startswith(".partial")] == []


def test_changed_video_is_unpacked_anew(clip, tmp_path):
    first = unpack(clip, tmp_path / "cache", progress=False)
    clip.write_bytes(clip.read_bytes() + b"\0")
    assert unpack(clip, tmp_path / "cache", progress=False) != first


def test_images_of_any_kind_come_as_jpeg(tmp_path):
    (tmp_path / "cam").mkdir()
    for i, suffix in enumerate(("png", "bmp", "jpg")):
        cv2.imwrite(str(tmp_path / "cam" / f"{i}.{suffix}"), grey(20 * i))
    footage = Footage.open(tmp_path, ["cam"], rate_hz=25)
    assert footage.rate_hz == 25
    assert levels(footage, "cam") == [0, 1, 2]
    assert footage.jpeg("cam", 0)[:2] == b"\xff\xd8"


@pytest.mark.parametrize("binning", [1, 2, 4, 8])
def test_binned_decoding_averages_the_pixels_it_covers(binning):
    ramp = np.repeat(np.arange(0, 256, 2, dtype=np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    data = cv2.imencode(".jpg", ramp, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    pixels = decode_jpeg(data, binning)
    assert pixels.shape == (64 // binning, 128 // binning, 3)
    expected = ramp[0, :, 0].reshape(-1, binning).mean(1)
    assert np.abs(pixels[pixels.shape[0] // 2, :, 0] - expected).max() < 4


def test_decode_refuses_what_is_no_image_and_other_binnings():
    with pytest.raises(MediaError, match="5 bytes: it cannot be decoded, expected a JPEG"):
        decode_jpeg(b"hello")
    with pytest.raises(MediaError, match="0 bytes"):
        decode_jpeg(b"")
    with pytest.raises(ConfigError, match="binning is 3, expected one of 1, 2, 4, 8"):
        decode_jpeg(b"", 3)


def refused(source, views=("left",), **options):
    with pytest.raises(MediaError) as error:
        Footage.open(source, views, **options)
    return str(error.value)


def test_missing_footage_is_named(clip, tmp_path):
    assert "nowhere: there is no such folder" in refused(tmp_path / "nowhere")
    sentence = refused(clip.parent, ["left", "right"], cache=tmp_path / "cache")
    assert "nothing for view right, expected a folder right/ of images or a video right.mp4" in sentence
    (tmp_path / "left").mkdir()
    assert "left: it holds no image" in refused(tmp_path)


def test_unreadable_video_is_named(tmp_path):
    (tmp_path / "left.mp4").write_bytes(b"not a video at all")
    assert "left.mp4: it cannot be read as a video" in refused(tmp_path, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    with pytest.raises(MediaError, match="gone.mp4: there is no such file"):
        unpack(tmp_path / "gone.mp4", tmp_path)


def test_frame_rate_must_be_known_and_one(clip, tmp_path):
    for view, rate in (("a", "30"), ("b", "25")):
        (tmp_path / view).mkdir()
        cv2.imwrite(str(tmp_path / view / "0.jpg"), grey(0))
        (tmp_path / view / "rate_hz.txt").write_text(rate)
    assert "a 30 Hz, b 25 Hz, expected one rate" in refused(tmp_path, ["a", "b"])
    assert Footage.open(tmp_path, ["a", "b"], rate_hz=50).rate_hz == 50
    (tmp_path / "a" / "rate_hz.txt").write_text("fast")
    assert "a/rate_hz.txt: it holds no frame rate" in refused(tmp_path, ["a"])
    (tmp_path / "a" / "rate_hz.txt").write_text("-3")
    assert "frame rate is -3 Hz" in refused(tmp_path, ["a"])
    (tmp_path / "a" / "rate_hz.txt").unlink()
    assert "said by no view" in refused(tmp_path, ["a"])


def test_too_long_a_video_is_refused_before_the_disk_is_full(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_UNPACKED_FRAMES", 5)
    with pytest.raises(MediaError, match="12 frames, expected at most 5 of this size .* cut it"):
        write_frames(clip, tmp_path / "out", progress=False)
    assert not list((tmp_path / "out").glob("*.jpg"))


def test_frames_that_are_not_there_are_named(clip, tmp_path):
    footage = Footage.open(clip.parent, ["left"], cache=tmp_path / "cache")
    with pytest.raises(MediaError, match="frames 0 to 11, frame 12"):
        footage.jpeg("left", 12)
    with pytest.raises(MediaError, match="no view 'right'; it has left"):
        footage.jpeg("right", 0)
    footage.files["left"][3].unlink()
    with pytest.raises(MediaError, match="000003.jpg: it cannot be read"):
        footage.jpeg("left", 3)


def test_a_stream_shows_its_frames_in_their_own_time(tmp_path):
    footage = Footage(50.0, {"a": tuple(tmp_path / f"{n}.jpg" for n in range(5))})
    shown = [footage.index_at("a", 20_000_000 * k) for k in range(10)]
    assert shown == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1]
    assert [footage.index_at("a", 40_000_000 * k) for k in range(5)] == [0, 2, 4, 2, 0]
    assert footage.index_at("a", 20_000_000 * 3 + 1) == footage.index_at("a", 20_000_000 * 3 - 1) == 3
