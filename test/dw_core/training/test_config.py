import json
from dataclasses import replace
from pathlib import Path

import pytest

from dw_core.data.splits import load_splits
from dw_core.errors import ConfigError
from dw_core.training.config import load_config

PACKAGED = Path(__file__).parents[3] / "config/train"


@pytest.mark.parametrize("path", sorted(PACKAGED.glob("*.yaml")), ids=lambda path: path.name)
def test_packaged_configurations_are_valid_and_find_their_splits(path):
    splits = load_splits(path.parent / load_config(path).splits)
    assert {"train", "validation"} <= set(splits.folders)


def test_a_configuration_reads_back(config_file, tiny):
    assert load_config(config_file) == tiny
    assert json.loads(tiny.to_json())["steps"] == tiny.steps


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("widht: 8", "unknown entry 'widht', expected one of joint_set, architecture"),
        ("steps: many", "entry 'steps' is 'many', which is no int"),
        ("steps: 2.5", "entry 'steps' is 2.5"),
        ("steps: true", "entry 'steps' is True"),
        ("splits: 3", "entry 'splits' is 3, which is no str"),
        ("steps: 0", "training: steps is 0, expected more than 0"),
        ("learning_rate: .nan", "learning_rate is nan"),
        ("loss: huber", "loss is 'huber', expected one of barron, l1, l2, heatmap"),
        ("joint_set: hand21", "unknown joint set 'hand21'"),
        ("workers: -1", "workers is -1"),
        ("lag: none", "lag is 'none', expected one of measured, nominal"),
        ("views: 2", "the loss in space needs all views: set weight_3d or views to 0"),
        (
            "pooled: 2",
            "pooled is 2, expected 1, or for the paper's network with a loss of positions a divisor of",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, config_file, line, sentence):
    name = line.partition(":")[0]
    entries = {k: v for k, v in json.loads(config_file.read_text()).items() if k != name}
    path = tmp_path / "wrong.yaml"
    path.write_text("".join(f"{k}: {json.dumps(v)}\n" for k, v in entries.items()) + line + "\n")
    with pytest.raises(ConfigError, match=sentence) as error:
        load_config(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no entries"),
        ("a: [", "cannot be read as YAML"),
        ("steps: 3", "entry 'joint_set' is missing"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, text, sentence):
    path = tmp_path / "no.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        load_config(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="none.yaml: it cannot be read"):
        load_config(tmp_path / "none.yaml")


def test_values_are_checked_without_a_file(tiny):
    with pytest.raises(ConfigError, match="patience is 0"):
        replace(tiny, patience=0)
