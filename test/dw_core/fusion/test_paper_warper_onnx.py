import subprocess
import sys

import numpy as np
import pytest
import torch

from dw_core.errors import AssetError
from dw_core.fusion.paper_warper import PaperWarper
from dw_core.fusion.paper_warper_onnx import (
    PaperWarperOnnx,
    export_warper,
    paper_warper_session,
    warper_graph,
)
from dw_core.fusion.torch_weights import network_of, weights_of
from dw_core.skeleton import JointSet

J = 3
JOINTS = JointSet("three", ("a", "b", "c"), ())


def arrays(warper):
    return {name: value.numpy() for name, value in warper.state_dict().items()}


@pytest.fixture(scope="module")
def trained():
    """A network as training might leave it: nothing of it zero, one or the identity, offsets of cells."""
    torch.manual_seed(0)
    warper = PaperWarper(J).eval()
    with torch.no_grad():
        for name, value in warper.named_parameters():
            if name.startswith(("offsets", "weights")):
                value.add_(0.02 * torch.randn_like(value))
            elif "norm" in name or ".shortcut.1" in name:
                value.add_(0.1 * torch.randn_like(value))
        for name, value in warper.named_buffers():
            if name.endswith("running_mean"):
                value.copy_(0.1 * torch.randn_like(value))
            elif name.endswith("running_var"):
                value.copy_(0.5 + torch.rand_like(value))
    return warper


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "warper.onnx"
    export_warper(arrays(trained), path)
    return path


@pytest.mark.parametrize(("N", "h", "w"), [(2, 24, 24), (3, 17, 20), (1, 64, 64)])
def test_the_graph_computes_what_the_torch_module_does(trained, file, N, h, w):
    run = paper_warper_session(file)
    assert run.joints == J
    raw, difference = torch.rand(N, J, h, w), 0.3 * torch.randn(N, J, h, w)
    with torch.inference_mode():
        expected = trained(difference, raw)
        offsets = trained.offsets[0](trained.blocks(difference))
    assert offsets.abs().max() > 0.5 and (expected - raw).abs().max() > 0.1  # it is not the identity
    np.testing.assert_allclose(run(difference.numpy(), raw.numpy()), expected, rtol=0, atol=1e-4)


def test_as_the_warper_of_a_stage(trained):
    rng = np.random.default_rng(0)
    fused, raw = rng.random((2, 2, J, 20, 20), dtype=np.float32)
    warped = PaperWarperOnnx(weights_of(trained, JOINTS))(
        list(fused), list(raw), np.zeros(2), np.zeros((2, J, 2))
    )
    with torch.inference_mode():
        expected = trained(torch.from_numpy(fused - raw), torch.from_numpy(raw))
    np.testing.assert_allclose(np.stack(warped), expected, rtol=0, atol=1e-4)


def test_it_runs_without_torch(file):
    script = (
        "import sys, pathlib, numpy as np\n"
        "from dw_core.fusion.paper_warper_onnx import paper_warper_session\n"
        "raw = np.ones((1, 3, 16, 16), np.float32)\n"
        "assert paper_warper_session(pathlib.Path(sys.argv[1]))(0 * raw, raw).shape == raw.shape\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def without(state, name):
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: {}, "there is no 'blocks.0.conv1.weight'"),
        (lambda state: without(state, "offsets.4.weight"), "there is no 'offsets.4.weight'"),
        (lambda state: state | {"head.weight": np.zeros(1)}, "it has no 'head.weight'"),
        (lambda state: without(state, "blocks.3.conv1.weight"), "it has no 'blocks."),
        (lambda state: state | {"blocks.0.norm1.weight": np.ones(7)}, "its normalisation"),
        (lambda state: state | {"weights.0": np.zeros((5, 5, 3, 3))}, "do not fit"),
    ],
)
def test_state_dicts_of_other_networks_are_refused(trained, change, sentence):
    with pytest.raises(AssetError, match=sentence):
        paper_warper_session(warper_graph(change(arrays(trained))).SerializeToString())


def test_weights_that_name_other_joints_are_refused(trained):
    weights = weights_of(trained, JointSet("two", ("a", "b"), ()))
    with pytest.raises(AssetError, match="for 3 joints, but name 2"):
        PaperWarperOnnx(weights)


def test_files_that_are_no_warper_are_refused(tmp_path):
    import onnx

    with pytest.raises(AssetError, match="none.onnx does not exist"):
        paper_warper_session(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("not a graph")
    with pytest.raises(AssetError, match="text.onnx cannot be read"):
        paper_warper_session(tmp_path / "text.onnx")
    info = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Relu", ["image"], ["y"])
    shapes = [info(name, onnx.TensorProto.FLOAT, [1, 3]) for name in ("image", "y")]
    graph = onnx.helper.make_graph([node], "other", shapes[:1], shapes[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)], ir_version=9)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(AssetError, match="has inputs image, expected difference and raw"):
        paper_warper_session(tmp_path / "other.onnx")


def test_a_narrow_network_is_known_by_its_weights():
    torch.manual_seed(1)
    narrow = PaperWarper(J, 8).eval()
    for offsets in narrow.offsets:
        torch.nn.init.normal_(offsets.weight, std=0.1)
    weights = weights_of(narrow, JOINTS)
    raw, difference = torch.rand(1, J, 20, 20), 0.3 * torch.randn(1, J, 20, 20)
    with torch.inference_mode():
        expected = narrow(difference, raw)
        torch.testing.assert_close(network_of(weights)(difference, raw), expected)
    (warped,) = PaperWarperOnnx(weights)(
        [(raw + difference)[0].numpy()], [raw[0].numpy()], np.zeros(1), np.zeros((1, J, 2))
    )
    assert (expected - raw).abs().max() > 0.1
    np.testing.assert_allclose(warped, expected[0], rtol=0, atol=1e-4)
