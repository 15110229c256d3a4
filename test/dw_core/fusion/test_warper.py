import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dw_core.errors import AssetError, ConfigError
from dw_core.fusion.paper_warper import PaperWarper, deform_conv2d, load_warper, save_warper
from dw_core.fusion.warper import TemporalFusion
from dw_core.geometry.crop import Crop
from dw_core.types import DenseSet, DenseView, Heatmaps, Stage


@pytest.fixture(scope="module")
def warper():
    torch.manual_seed(0)
    return PaperWarper(3).eval()


def dense(joints=3):
    rng = np.random.default_rng(0)
    views = []
    for name in ("a", "b", "c"):
        raw, fused = rng.random((2, joints, 24, 24), dtype=np.float32)
        seen = Heatmaps(name, 0, Crop(0.0, 0.0, 100.0), raw)
        views.append(DenseView(seen, raw if name == "b" else fused))
    return DenseSet(5, "b", tuple(views), Stage.SPATIAL)


def test_parameter_count_is_the_papers():
    assert sum(p.numel() for p in PaperWarper(20).parameters()) == 7_878_480


def test_dilations_and_padding(warper):
    assert [conv.dilation for conv in warper.offsets] == [(d, d) for d in (3, 6, 12, 18, 24)]
    assert all(conv.padding == conv.dilation and conv.bias is None for conv in warper.offsets)


def test_starts_as_the_identity_on_the_raw_map(warper):
    raw, difference = torch.rand(2, 3, 24, 24), torch.randn(2, 3, 24, 24)
    torch.testing.assert_close(warper(difference, raw), raw, atol=1e-5, rtol=0)


def test_a_uniform_offset_moves_the_map():
    raw = torch.zeros(1, 1, 16, 16)
    raw[0, 0, 8, 5] = 1.0
    identity = torch.zeros(1, 1, 3, 3)
    identity[0, 0, 1, 1] = 1.0
    offsets = torch.zeros(1, 18, 16, 16)
    offsets[:, 0::2], offsets[:, 1::2] = 2.0, -1.0  # reads 2 rows below and 1 column to the left
    moved = deform_conv2d(raw, offsets, identity, 3)
    assert moved[0, 0, 6, 6] == pytest.approx(1.0, abs=1e-5)


def test_deformable_convolution_has_exact_gradients():
    torch.manual_seed(1)
    x = torch.rand(2, 2, 7, 6, dtype=torch.float64, requires_grad=True)
    # away from whole cells, where bilinear interpolation has a kink
    offsets = torch.randint(-2, 3, (2, 36, 7, 6)).double() + 0.2 + 0.6 * torch.rand(2, 36, 7, 6).double()
    weight = torch.randn(3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(deform_conv2d, (x, offsets.requires_grad_(), weight, 2))


@pytest.mark.parametrize("dilation", [3, 24])
def test_deformable_convolution_agrees_with_onnxruntime(dilation):
    torch.manual_seed(2)
    J, h, w = 4, 20, 17
    x, offsets, weight = torch.randn(2, J, h, w), 3 * torch.randn(2, 18 * J, h, w), torch.randn(J, J, 3, 3)
    node = onnx.helper.make_node(
        "DeformConv", ["x", "w", "o"], ["y"], kernel_shape=[3, 3], offset_group=J,
        dilations=[dilation] * 2, pads=[dilation] * 4, strides=[1, 1],
    )  # fmt: skip
    inputs = {"x": x.numpy(), "w": weight.numpy(), "o": offsets.numpy()}
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "deform",
        [info(name, onnx.TensorProto.FLOAT, value.shape) for name, value in inputs.items()],
        [info("y", onnx.TensorProto.FLOAT, None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, inputs)
    ours = deform_conv2d(x, offsets, weight, dilation).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_the_whole_warper_is_differentiable(warper):
    raw, difference = torch.rand(1, 3, 24, 24), torch.randn(1, 3, 24, 24)
    network = PaperWarper(3)
    torch.nn.functional.mse_loss(network(difference, raw), raw.roll(2, -1)).backward()
    for name, parameter in network.named_parameters():
        if name.startswith(("offsets", "weights")):
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_without_weights_the_stage_passes_through_and_says_so():
    stage, given = TemporalFusion(), dense()
    out = stage.apply(given)
    assert stage.passes_through and "unchanged" in stage.description
    assert out.views == given.views and out.stage == Stage.TEMPORAL


def test_the_stage_does_not_import_torch_without_weights():
    code = "import sys, dw_core.fusion.warper as w; w.TemporalFusion(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_with_weights_the_raw_maps_of_stale_views_are_warped(warper, tmp_path):
    path = tmp_path / "warper.pt"
    save_warper(warper, path)
    stage, given = TemporalFusion(path), dense()
    out = stage.apply(given)
    assert not stage.passes_through and str(path) in stage.description
    assert out.stage == Stage.TEMPORAL and out.views[1] is given.views[1]
    for k in (0, 2):  # untrained weights: the identity on the raw map, not on the fused one
        np.testing.assert_allclose(out.views[k].tensor, given.views[k].raw, atol=1e-5)


def test_saved_weights_come_back(warper, tmp_path):
    torch.manual_seed(3)
    changed = PaperWarper(3)
    torch.nn.init.normal_(changed.offsets[0].weight, std=0.01)
    save_warper(changed, tmp_path / "w.pt")
    raw, difference = torch.rand(1, 3, 24, 24), torch.randn(1, 3, 24, 24)
    loaded = load_warper(tmp_path / "w.pt")
    torch.testing.assert_close(loaded(difference, raw), changed.eval()(difference, raw))


def test_bad_weights_are_refused(warper, tmp_path):
    with pytest.raises(AssetError, match="do not exist"):
        TemporalFusion(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("not weights")
    with pytest.raises(AssetError, match="cannot be read"):
        TemporalFusion(tmp_path / "text.pt")
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(AssetError, match="blocks.0.conv1.weight"):
        TemporalFusion(tmp_path / "other.pt")
    save_warper(warper, tmp_path / "three.pt")
    with pytest.raises(ConfigError, match="3 joints, the heatmaps have 5"):
        TemporalFusion(tmp_path / "three.pt").apply(dense(5))
