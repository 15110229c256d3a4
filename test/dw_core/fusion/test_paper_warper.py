import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dw_core.fusion.paper_warper import PaperWarper, deform_conv2d


@pytest.fixture(scope="module")
def warper():
    torch.manual_seed(0)
    return PaperWarper(3).eval()


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


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (2, 2)])
def test_maps_of_one_row_or_column_are_no_special_case(shape):
    """Without offsets it is the convolution that torch has, whatever the size."""
    torch.manual_seed(3)
    x, weight = torch.randn(2, 2, *shape), torch.randn(3, 2, 3, 3)
    found = deform_conv2d(x, torch.zeros(2, 36, *shape), weight, 3)
    torch.testing.assert_close(found, torch.nn.functional.conv2d(x, weight, padding=3, dilation=3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_reads_the_right_places(dtype):
    """Half a cell right of column 200, a number that bfloat16 does not have."""
    raw = torch.zeros(1, 1, 4, 256, dtype=dtype)
    raw[..., 201] = 1.0
    identity = torch.zeros(1, 1, 3, 3, dtype=dtype)
    identity[0, 0, 1, 1] = 1.0
    offsets = torch.zeros(1, 18, 4, 256, dtype=dtype)
    offsets[:, 1::2] = 0.5
    moved = deform_conv2d(raw, offsets, identity, 1)
    assert moved.dtype == dtype
    assert moved[0, 0, 1, 199:203].tolist() == [0.0, 0.5, 0.5, 0.0]


def test_the_whole_warper_is_differentiable(warper):
    raw, difference = torch.rand(1, 3, 24, 24), torch.randn(1, 3, 24, 24)
    network = PaperWarper(3)
    torch.nn.functional.mse_loss(network(difference, raw), raw.roll(2, -1)).backward()
    for name, parameter in network.named_parameters():
        if name.startswith(("offsets", "weights")):
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
