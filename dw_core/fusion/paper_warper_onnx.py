"""The paper's Warper as an ONNX graph, for a run time without torch.

Built from its weights as arrays, by the parameter names of paper_warper.py, with batch normalisation folded
into the convolutions before it. DeformConv is in the ONNX operator set from 19 on.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from dw_core.errors import AssetError
from dw_core.fusion.weights import WarperWeights
from dw_core.geometry.camera import Array
from dw_core.types import Float32Array

OPSET, IR_VERSION = 19, 9
# Of the offsets' convolutions and of the deformable ones.
DILATIONS = (3, 6, 12, 18, 24)
NORM_EPSILON = 1e-5  # torch's
INPUTS = ("difference", "raw")

StateDict = Mapping[str, npt.NDArray[Any]]


class _Graph:
    """The ONNX graph under construction from a state dict; what was used of it is remembered."""

    def __init__(self, state: StateDict) -> None:
        self.state = state
        self.used: set[str] = set()
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def weight(self, name: str) -> Float32Array:
        if name not in self.state:
            raise AssetError(f"the weights do not fit the paper's Warper: there is no '{name}'")
        self.used.add(name)
        return np.asarray(self.state[name], dtype=np.float32)

    def constant(self, name: str, value: Float32Array) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def convolution(self, x: str, conv: str, norm: str, output: str) -> str:
        """A convolution and the batch normalisation after it, as one."""
        kernel = self.weight(f"{conv}.weight")
        scale, shift, mean, variance = (
            self.weight(f"{norm}.{name}") for name in ("weight", "bias", "running_mean", "running_var")
        )
        if kernel.ndim != 4 or kernel.shape[:1] != scale.shape:
            raise AssetError(
                f"the weights do not fit the paper's Warper: '{conv}.weight' has shape {kernel.shape}, "
                f"its normalisation {scale.shape}"
            )
        factor = scale / np.sqrt(variance + NORM_EPSILON)
        operands = [
            x,
            self.constant(f"{output}/kernel", kernel * factor[:, None, None, None]),
            self.constant(f"{output}/bias", shift - mean * factor),
        ]
        return self.node("Conv", operands, output, pads=[kernel.shape[-1] // 2] * 4)


def warper_graph(state: StateDict) -> onnx.ModelProto:
    """The network with inputs `difference` and `raw` and output `warped`, all (N, J, h, w) float32, of a
    PaperWarper's state dict. Raises AssetError when the state dict is none."""
    graph = _Graph(state)
    features = "difference"
    for k in count():
        if k and f"blocks.{k}.conv1.weight" not in state:
            break
        features = _basic_block(graph, features, f"blocks.{k}")
    joints = graph.weight("weights.0").shape[0]
    parts = []
    for k, dilation in enumerate(DILATIONS):
        shape = {"kernel_shape": [3, 3], "dilations": [dilation] * 2, "pads": [dilation] * 4}
        kernel = graph.constant(f"offsets.{k}/kernel", graph.weight(f"offsets.{k}.weight"))
        offsets = graph.node("Conv", [features, kernel], f"offsets.{k}", **shape)
        weight = graph.constant(f"weights.{k}", graph.weight(f"weights.{k}"))
        operands = ["raw", weight, offsets]
        parts.append(graph.node("DeformConv", operands, f"part.{k}", offset_group=joints, **shape))
    graph.node("Mean", parts, "warped")
    foreign = {name for name in state if not name.endswith("num_batches_tracked")} - graph.used
    if foreign:
        raise AssetError(f"the weights do not fit the paper's Warper: it has no '{min(foreign)}'")
    return _checked(graph, joints)


def _basic_block(graph: _Graph, x: str, block: str) -> str:
    y = graph.convolution(x, f"{block}.conv1", f"{block}.norm1", f"{block}/1")
    y = graph.node("Relu", [y], f"{block}/active")
    y = graph.convolution(y, f"{block}.conv2", f"{block}.norm2", f"{block}/2")
    if f"{block}.shortcut.0.weight" in graph.state:
        x = graph.convolution(x, f"{block}.shortcut.0", f"{block}.shortcut.1", f"{block}/shortcut")
    return graph.node("Relu", [graph.node("Add", [y, x], f"{block}/sum")], block)


def _checked(graph: _Graph, joints: int) -> onnx.ModelProto:
    shape: list[str | int | None] = ["N", joints, "h", "w"]
    inputs, (output,) = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]
        for names in (INPUTS, ("warped",))
    )
    body = helper.make_graph(graph.nodes, "paper_warper", inputs, [output], initializer=graph.constants)
    model = helper.make_model(
        body, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="dw_core", ir_version=IR_VERSION
    )
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker's and shape inference's exceptions share no narrower base
        raise AssetError(
            f"the weights do not fit the paper's Warper: {str(error).splitlines()[0]}"
        ) from error
    return model


def export_warper(weights: StateDict, path: Path) -> None:
    """Write the ONNX file of a PaperWarper's state dict (see `warper_graph`), which `paper_warper_session`
    reads. Raises AssetError when the state dict is none."""
    path.write_bytes(warper_graph(weights).SerializeToString())


class PaperWarperSession:
    """Maps (N, J, h, w) of what fusion changed, and raw maps, to warped maps (N, J, h, w), in ONNX Runtime;
    `joints` is J."""

    def __init__(self, session: ort.InferenceSession, joints: int) -> None:
        self.joints = joints
        self._session = session

    def __call__(self, difference: Float32Array, raw: Float32Array) -> Float32Array:
        (warped,) = self._session.run(None, dict(zip(INPUTS, (difference, raw), strict=True)))
        return np.asarray(warped, dtype=np.float32)


def paper_warper_session(model: Path | bytes, threads: int = 1) -> PaperWarperSession:
    """The Warper of an ONNX file, or of its bytes. Raises AssetError when it is none of this network."""
    name = f"Warper {model}" if isinstance(model, Path) else "the Warper's graph"
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        data = model.read_bytes() if isinstance(model, Path) else model
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except FileNotFoundError:
        raise AssetError(f"{name} does not exist, expected an ONNX file of `export_warper`") from None
    except Exception as error:  # onnxruntime's own exceptions share no narrower base
        raise AssetError(f"{name} cannot be read by ONNX Runtime: {str(error).splitlines()[0]}") from error
    shapes = {one.name: one.shape for one in session.get_inputs()}
    joints = shapes.get(INPUTS[1], [None, None])[1]
    if set(shapes) != set(INPUTS) or not isinstance(joints, int):
        raise AssetError(
            f"{name} has inputs {', '.join(shapes)}, expected {' and '.join(INPUTS)} of (N, joints, h, w)"
        )
    return PaperWarperSession(session, joints)


class PaperWarperOnnx:
    """The paper's Warper of weights as a stage's Warper (see warper.py): all views in one pass, whatever
    their lag and velocity are. Raises AssetError when the weights do not fit it."""

    def __init__(self, weights: WarperWeights) -> None:
        self._run = paper_warper_session(warper_graph(weights.arrays).SerializeToString())
        if self._run.joints != len(weights.joints):
            raise AssetError(
                f"the weights do not fit the paper's Warper: they are for {self._run.joints} joints, "
                f"but name {len(weights.joints)}"
            )

    def __call__(
        self, fused: list[Float32Array], raw: list[Float32Array], lag_s: Array, velocity: Array
    ) -> list[Float32Array]:
        stale = np.stack(raw)
        return list(self._run(np.stack(fused) - stale, stale))
