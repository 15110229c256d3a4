"""TensorFlow.js graph models (model.json + binary weights) converted to ONNX.

Only the part of the graph between one input node and the wanted outputs is converted, so
heads and post-processing that nobody asked for cost nothing. Layout: TensorFlow.js works in
NHWC; the ONNX graph takes uint8 images NHWC, transposes once and is NCHW from there on.
Sources: the TensorFlow.js graph model format (modelTopology is a GraphDef in JSON with
base64 byte strings), TensorFlow's SAME padding, ONNX operator set 18.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from dw_core.errors import AssetError

OPSET = 18
# IR version 9 belongs to opset 20 and earlier: every onnxruntime from 1.17 on reads it.
IR_VERSION = 9


@dataclass
class _Graph:
    """The ONNX graph under construction."""

    source: Path
    topology: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, npt.NDArray[Any]]
    sizes: dict[str, tuple[int, int]]  # rows and columns of every tensor so far
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name: str) -> npt.NDArray[Any]:
        if name not in self.weights:
            raise AssetError(f"{self.source}: the graph wants weight '{name}', which the file does not hold")
        return self.weights[name]


def convert(model_json: Path, input_node: str, outputs: Mapping[str, str], size: int) -> onnx.ModelProto:
    """Convert the part of a TensorFlow.js graph model between `input_node` and `outputs`.

    `outputs` maps graph node names to the names that the ONNX outputs get. The ONNX input is
    "image": uint8 (N, size, size, 3), of which `input_node` receives x / 127.5 - 1; the outputs
    are float32 (N, C, h, w). Raises AssetError for a file that is not such a graph, or that
    holds an operator which is not known here.
    """
    topology, weights = _read(model_json)
    graph = _Graph(model_json, topology, weights, {input_node: (size, size)})
    _normalise(graph, input_node)
    for name in _ordered(graph, input_node, list(outputs)):
        _add(graph, graph.topology[name])
    for name, alias in outputs.items():
        graph.node("Identity", [name], alias)
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", size, size, 3])
    results = [
        helper.make_tensor_value_info(alias, TensorProto.FLOAT, ["N", None, None, None])
        for alias in outputs.values()
    ]
    body = helper.make_graph(
        graph.nodes, model_json.stem, [image], results, initializer=list(graph.initializers.values())
    )
    model = helper.make_model(
        body, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="dw_core", ir_version=IR_VERSION
    )
    onnx.checker.check_model(model)
    return model


def _read(model_json: Path) -> tuple[dict[str, dict[str, Any]], dict[str, npt.NDArray[Any]]]:
    """Nodes and weights by name; half precision weights are widened to float32."""
    try:
        document = json.loads(model_json.read_text())
        topology = {node["name"]: node for node in document["modelTopology"]["node"]}
        weights: dict[str, npt.NDArray[Any]] = {}
        for group in document["weightsManifest"]:
            data = b"".join((model_json.parent / path).read_bytes() for path in group["paths"])
            start = 0
            for entry in group["weights"]:
                stored = np.dtype(entry.get("quantization", entry)["dtype"])
                count = int(np.prod(entry["shape"]))
                values = np.frombuffer(data, stored, count, start).reshape(entry["shape"])
                weights[entry["name"]] = values.astype(entry["dtype"])
                start += count * stored.itemsize
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssetError(
            f"{model_json}: not a TensorFlow.js graph model with its weights beside it ({error})"
        ) from error
    return topology, weights


def _normalise(graph: _Graph, output: str) -> None:
    """uint8 NHWC image to x / 127.5 - 1 in NCHW, under the name of the graph's input node."""
    scale = graph.constant("normalise/scale", np.float32(1 / 127.5))
    one = graph.constant("normalise/one", np.float32(1))
    graph.node("Transpose", ["image"], "normalise/nchw", perm=[0, 3, 1, 2])
    graph.node("Cast", ["normalise/nchw"], "normalise/float", to=TensorProto.FLOAT)
    graph.node("Mul", ["normalise/float", scale], "normalise/scaled")
    graph.node("Sub", ["normalise/scaled", one], output)


def _inputs(node: Mapping[str, Any]) -> list[str]:
    """Names of the data inputs, without output numbers and control edges."""
    return [name.split(":")[0] for name in node.get("input", []) if not name.startswith("^")]


def _ordered(graph: _Graph, input_node: str, outputs: list[str]) -> list[str]:
    """Names of all nodes that the outputs need, each after its inputs, without constants."""
    done, order = {input_node}, []
    stack = [(name, False) for name in reversed(outputs)]
    while stack:
        name, expanded = stack.pop()
        if name in done:
            continue
        if name not in graph.topology:
            raise AssetError(f"{graph.source}: the graph has no node '{name}'")
        node = graph.topology[name]
        if expanded or node["op"] == "Const":
            done.add(name)
            if node["op"] != "Const":
                order.append(name)
        else:
            stack.append((name, True))
            stack.extend((source, False) for source in reversed(_inputs(node)))
    return order


def _add(graph: _Graph, node: Mapping[str, Any]) -> None:
    """Append the ONNX nodes of one TensorFlow node."""
    op, name, inputs = node["op"], node["name"], _inputs(node)
    if op in ("_FusedConv2D", "Conv2D"):
        _convolution(graph, node, graph.weight(inputs[1]).transpose(3, 2, 0, 1), group=1)
    elif op in ("FusedDepthwiseConv2dNative", "DepthwiseConv2dNative"):
        kernel = graph.weight(inputs[1])
        rows, columns, channels, multiplier = kernel.shape
        kernel = kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, rows, columns)
        _convolution(graph, node, kernel, group=channels)
    elif op == "ResizeBilinear":
        _resize(graph, node)
    elif op in _DIRECT:
        graph.node(_DIRECT[op], inputs, name)
        graph.sizes[name] = graph.sizes[inputs[0]]
    else:
        raise AssetError(f"{graph.source}: node '{name}' is a {op}, expected one of {', '.join(_KNOWN)}")


_DIRECT = {"AddV2": "Add", "Sigmoid": "Sigmoid"}
_KNOWN = ("_FusedConv2D", "Conv2D", "FusedDepthwiseConv2dNative", "DepthwiseConv2dNative", "ResizeBilinear",
          *_DIRECT)  # fmt: skip


def _resize(graph: _Graph, node: Mapping[str, Any]) -> None:
    """Bilinear resize, by factors: onnxruntime's quantizer loses explicit sizes."""
    name, inputs, attributes = node["name"], _inputs(node), node["attr"]
    rows, columns = (int(value) for value in graph.weight(inputs[1]))
    before = graph.sizes[inputs[0]]
    factors = np.array([1, 1, rows / before[0], columns / before[1]], np.float32)
    mode = "asymmetric"
    if attributes.get("half_pixel_centers", {}).get("b", False):
        mode = "half_pixel"
    elif attributes.get("align_corners", {}).get("b", False):
        mode = "align_corners"
    graph.node(
        "Resize", [inputs[0], "", graph.constant(f"{name}/factors", factors)], name,
        mode="linear", coordinate_transformation_mode=mode,
    )  # fmt: skip
    graph.sizes[name] = (rows, columns)


def _convolution(graph: _Graph, node: Mapping[str, Any], kernel: npt.NDArray[Any], group: int) -> None:
    """A convolution with what is fused into it: kernel (out, in / group, rows, columns)."""
    name, inputs, attributes = node["name"], _inputs(node), node["attr"]
    fused = [_text(value) for value in attributes.get("fused_ops", {}).get("list", {}).get("s", [])]
    padding = _text(attributes["padding"]["s"])
    unknown = set(fused) - {"BiasAdd", "Relu", "Relu6"}
    if unknown or padding not in ("SAME", "VALID"):
        raise AssetError(
            f"{graph.source}: node '{name}' has padding {padding} and fused {', '.join(fused) or 'nothing'}, "
            "expected SAME or VALID and BiasAdd, Relu or Relu6"
        )
    operands = [inputs[0], graph.constant(f"{name}/kernel", kernel)]
    if "BiasAdd" in fused:
        operands.append(graph.constant(f"{name}/bias", graph.weight(inputs[2])))
    strides, dilations = _spatial(attributes["strides"]), _spatial(attributes["dilations"])
    graph.sizes[name] = _convolved(graph.sizes[inputs[0]], kernel.shape[2:], strides, dilations, padding)
    activation = next((step for step in fused if step.startswith("Relu")), "")
    output = f"{name}/linear" if activation else name
    graph.node(
        "Conv", operands, output, group=group,
        auto_pad={"SAME": "SAME_UPPER", "VALID": "VALID"}[padding],
        strides=strides, dilations=dilations,
    )  # fmt: skip
    if activation == "Relu6":
        low = graph.constant("relu6/low", np.float32(0))
        high = graph.constant("relu6/high", np.float32(6))
        graph.node("Clip", [output, low, high], name)
    elif activation == "Relu":
        graph.node("Relu", [output], name)


def _convolved(
    size: tuple[int, int], kernel: tuple[int, ...], strides: list[int], dilations: list[int], padding: str
) -> tuple[int, int]:
    """Rows and columns after a convolution: ceil(n / stride) with SAME padding."""
    reach = [0, 0] if padding == "SAME" else [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
    rows, columns = (-(-(n - r) // s) for n, r, s in zip(size, reach, strides, strict=True))
    return rows, columns


def _spatial(attribute: Mapping[str, Any]) -> list[int]:
    """The two spatial entries of an NHWC attribute (1, rows, columns, 1)."""
    return [int(value) for value in attribute["list"]["i"][1:3]]


def _text(value: str) -> str:
    """A byte string of the GraphDef, which its JSON form carries in base64."""
    return base64.b64decode(value).decode()
