import subprocess
import sys
from pathlib import Path

import pytest

from dw_core.data.splits import Splits, load_splits
from dw_core.errors import ConfigError

CONFIG = Path(__file__).parents[3] / "config/splits.yaml"


def test_the_projects_splits_do_not_overlap_and_are_all_there(shared_data):
    splits = load_splits(CONFIG)
    assert set(splits.folders) == {"train", "validation", "test"}
    files = {split: splits.files(split, shared_data) for split in splits.folders}
    everything = [file for found in files.values() for file in found]
    assert len(everything) == len(set(everything))
    assert all(files.values())


@pytest.mark.parametrize(
    ("folders", "sentence"),
    [
        ({"train": ("a", "b"), "test": ("b",)}, r"b \(train\) and b \(test\) overlap"),
        ({"train": ("a/x",), "test": ("a",)}, r"a/x \(train\) and a \(test\) overlap"),
        ({"train": ("a",), "test": ("a/x.amc",)}, r"a \(train\) and a/x.amc \(test\) overlap"),
        ({"train": ("a", "a")}, r"a \(train\) and a \(train\) overlap"),
    ],
)
def test_what_is_in_two_splits_is_refused(folders, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Splits(folders)
    Splits({"train": ("a/x", "ab"), "test": ("a/y",)})


def test_few_files_lie_evenly_in_each_folder(tmp_path):
    for folder, count in (("a", 10), ("b", 1)):
        (tmp_path / folder).mkdir()
        for k in range(count):
            (tmp_path / folder / f"{k}.bvh").write_text("")
    splits = Splits({"train": ("a", "b")})
    names = [[p.stem for p in splits.files("train", tmp_path, n)] for n in (1, 2, 5, 20)]
    assert names[:3] == [["5", "0"], ["2", "7", "0"], ["1", "3", "5", "7", "9", "0"]]
    assert len(names[3]) == 11 and splits.files("train", tmp_path) == splits.files("train", tmp_path, 20)
    with pytest.raises(ConfigError, match="there is no split 'dev', expected train"):
        splits.files("dev", tmp_path)


def test_rates_are_mended_where_the_folder_is_named_and_nowhere_else(shared_data):
    splits, folder = load_splits(CONFIG), shared_data / "cmu_mocap_bvh"
    assert splits.motion(folder / "salsa/03.bvh", shared_data).rate_hz == 60
    assert splits.motion(folder / "martial/05.bvh", shared_data).rate_hz == pytest.approx(120, abs=0.01)


@pytest.mark.parametrize("text", ["", "splits: 3", "splits: {train: [a]}\nrates_hz: {a: fast}", "a: b"])
def test_files_that_hold_no_splits(tmp_path, text):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"s\.yaml: it cannot be read as splits in YAML"):
        load_splits(tmp_path / "s.yaml")


def test_files_of_a_split_on_the_terminal(tmp_path):
    (tmp_path / "a").mkdir()
    for k in range(3):
        (tmp_path / f"a/{k}.bvh").write_text("")
    (tmp_path / "s.yaml").write_text("splits: {train: [a]}")
    command = [sys.executable, "-m", "dw_core.data.splits", tmp_path / "s.yaml", tmp_path, "train"]
    for more, names in (([], "012"), (["1"], "1")):
        done = subprocess.run(
            [*command, *more], cwd=CONFIG.parents[1], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [str(tmp_path / f"a/{name}.bvh") for name in names]
