import json
from dataclasses import replace

from dw_core.training.ablation import text
from dw_core.training.loop import NAME
from dw_core.training.run import train_network


def test_every_loss_is_trained_and_goes_on_where_it_was(data, tmp_path, config_file, tiny, capsys):
    out = tmp_path / "out"
    config_file.write_text(replace(tiny, pool=2, steps=4, validate_every=4, learning_rate=0.03).to_json())

    def compared():
        train_network("losses", config_file, None, data, out, resume=True, progress=False)
        return (out / "result.json").read_text()

    first = compared()
    result = json.loads(first)
    assert capsys.readouterr().out == text(result) + "\n"
    pairs = [(one["loss"], one["weight_3d"]) for one in result["results"]]
    assert pairs == [(loss, weight) for loss in ("barron", "l1", "l2", "heatmap") for weight in (1.0, 0.0)]
    errors = [one["cells"]["warper"] for one in result["results"]]
    assert len(set(errors)) == 8, "every loss leads elsewhere"
    assert len({one["cells"]["copy"] for one in result["results"]}) == 1
    times = {path: path.stat().st_mtime_ns for path in out.glob("*/best.safetensors")}
    assert len(times) == 8
    (out / "l2_maps" / NAME).unlink()
    assert compared() == first
    again = {path for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert again == {out / "l2_maps/best.safetensors"}
