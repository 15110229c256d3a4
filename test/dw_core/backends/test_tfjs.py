"""The converter against a plain numpy evaluation of the same small graph, in NHWC as TensorFlow does it."""

import base64
import json

import numpy as np
import onnxruntime as ort
import pytest

from dw_core.backends.tfjs import convert
from dw_core.errors import AssetError

RNG = np.random.default_rng(0)


def text(value):
    return base64.b64encode(value.encode()).decode()


def conv(name, op, inputs, stride=1, padding="SAME", fused=()):
    attributes = {
        "strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}},
        "dilations": {"list": {"i": ["1", "1", "1", "1"]}},
        "padding": {"s": text(padding)},
        "fused_ops": {"list": {"s": [text(f) for f in fused]}},
    }
    return {"name": name, "op": op, "input": inputs, "attr": attributes}


def constants(*names):
    return [{"name": name, "op": "Const"} for name in names]


NODES = [
    *constants("kernel", "bias", "depthwise", "size"),
    conv("a", "_FusedConv2D", ["x", "kernel", "bias"], stride=2, fused=("BiasAdd", "Relu6")),
    conv("b", "DepthwiseConv2dNative", ["a", "depthwise"], padding="SAME"),
    {"name": "c", "op": "AddV2", "input": ["a", "b:0", "^x"], "attr": {}},
    {
        "name": "up",
        "op": "ResizeBilinear",
        "input": ["c", "size"],
        "attr": {"half_pixel_centers": {"b": True}},
    },
    {"name": "out", "op": "Sigmoid", "input": ["up"], "attr": {}},
    {"name": "unused", "op": "TopKV2", "input": ["c"], "attr": {}},
]
WEIGHTS = {
    "kernel": RNG.normal(size=(3, 3, 3, 4)).astype(np.float16),
    "bias": RNG.normal(size=4).astype(np.float16),
    "depthwise": RNG.normal(size=(3, 3, 4, 1)).astype(np.float16),
    "size": np.array([8, 8], np.int32),
}


def write(folder, nodes=NODES, weights=WEIGHTS):
    entries, data = [], b""
    for name, value in weights.items():
        entry = {
            "name": name,
            "shape": list(value.shape),
            "dtype": "int32" if value.dtype == np.int32 else "float32",
        }
        if value.dtype == np.float16:
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
        entries.append(entry)
        data += value.tobytes()
    (folder / "model.bin").write_bytes(data)
    manifest = [{"paths": ["model.bin"], "weights": entries}]
    path = folder / "model.json"
    path.write_text(json.dumps({"modelTopology": {"node": nodes}, "weightsManifest": manifest}))
    return path


def convolve(x, kernel, stride):
    """SAME convolution (h, w, in) by (k, k, in, out): TensorFlow pads the odd pixel below and right."""
    k, size = kernel.shape[0], -(-x.shape[0] // stride)
    total = max((size - 1) * stride + k - x.shape[0], 0)
    x = np.pad(x, ((total // 2, total - total // 2),) * 2 + ((0, 0),))
    out = np.zeros((size, size, kernel.shape[3]))
    for i in range(size):
        for j in range(size):
            patch = x[i * stride : i * stride + k, j * stride : j * stride + k]
            out[i, j] = np.einsum("abc,abcd->d", patch, kernel)
    return out


def upsample(x):
    """Bilinear doubling with half-pixel centres and clamped edges."""
    n = len(x)
    at = np.clip((np.arange(2 * n) + 0.5) / 2 - 0.5, 0, n - 1)
    low = np.minimum(at.astype(int), n - 2)
    part = (at - low)[:, None, None]
    rows = x[low] * (1 - part) + x[low + 1] * part
    rows = rows.transpose(1, 0, 2)
    return (rows[low] * (1 - part) + rows[low + 1] * part).transpose(1, 0, 2)


def reference(image):
    w = {name: value.astype(np.float64) for name, value in WEIGHTS.items()}
    a = np.clip(convolve(image / 127.5 - 1, w["kernel"], 2) + w["bias"], 0, 6)
    full = np.zeros((3, 3, 4, 4))
    full[:, :, np.arange(4), np.arange(4)] = w["depthwise"][..., 0]
    return 1 / (1 + np.exp(-upsample(a + convolve(a, full, 1))))


def test_converted_graph_computes_what_the_original_says(tmp_path):
    model = convert(write(tmp_path), "x", {"out": "maps"}, 8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    images = RNG.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    (maps,) = session.run(["maps"], {"image": images})
    expected = np.stack([reference(image) for image in images]).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(maps, expected, atol=2e-5)


def test_conversion_is_deterministic_and_leaves_out_what_no_output_needs(tmp_path):
    path = write(tmp_path)
    model = convert(path, "x", {"out": "maps"}, 8)
    assert model.SerializeToString() == convert(path, "x", {"out": "maps"}, 8).SerializeToString()
    assert "unused" not in {node.name for node in model.graph.node}


def test_unknown_operator_is_named(tmp_path):
    with pytest.raises(
        AssetError, match="model.json: node 'unused' is a TopKV2, expected one of _FusedConv2D"
    ):
        convert(write(tmp_path), "x", {"unused": "maps"}, 8)


def test_unknown_fused_step_and_padding_are_named(tmp_path):
    for bad in (conv("a", "_FusedConv2D", ["x", "kernel", "bias"], fused=("BiasAdd", "Elu")),
                conv("a", "_FusedConv2D", ["x", "kernel", "bias"], padding="EXPLICIT")):  # fmt: skip
        with pytest.raises(AssetError, match="node 'a' has padding .* expected SAME or VALID and BiasAdd"):
            convert(write(tmp_path, [*constants("kernel", "bias"), bad]), "x", {"a": "maps"}, 8)


def test_files_that_are_no_such_graph(tmp_path):
    path = write(tmp_path)
    with pytest.raises(AssetError, match="no node 'nowhere'"):
        convert(path, "x", {"nowhere": "maps"}, 8)
    (tmp_path / "model.bin").write_bytes(b"short")
    with pytest.raises(AssetError, match="not a TensorFlow.js graph model with its weights beside it"):
        convert(path, "x", {"out": "maps"}, 8)
    path.write_text("{}")
    with pytest.raises(AssetError, match="not a TensorFlow.js graph model"):
        convert(path, "x", {"out": "maps"}, 8)
    with pytest.raises(AssetError, match="wants weight 'bias'"):
        convert(
            write(tmp_path, weights={k: v for k, v in WEIGHTS.items() if k != "bias"}), "x", {"a": "m"}, 8
        )
