"""Making the ONNX files of MoveNet Thunder: float32 from the TensorFlow.js weights, int8 from that.

int8 quantizes the backbone between its stem and the feature pyramid, where the time goes; the
stem, the pyramid and the head stay float32, for there 8 bits cost accuracy. Measured on the demo's
footage, one thread with VNNI: 6.1 ms against 14.5 ms; leave-one-view-out error 13.4 against 13.5 px
(median). With all layers in int8 it takes as long, and jitter grows by 40 %.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from dw_core.backends.network import sample_crop
from dw_core.backends.tfjs import convert
from dw_core.types import ImageFrame, UInt8Array

INPUT_NODE = "StatefulPartitionedCall/sub_1"
HEATMAPS_NODE = "StatefulPartitionedCall/Sigmoid"
# Parts of node names: stem, then feature pyramid and head.
FLOAT_PARTS = ("normalise", "/Conv1", "expanded_conv_", "model_1/conv2d", "model_1/separable_conv2d",
               "model_1/re_lu", "up_sampling2d", "__operators__", "kpt_heatmap_0", "Sigmoid")  # fmt: skip
CALIBRATION_VIEWS = ("cam01", "cam02")
CALIBRATION_STEP = 4


def export(model_json: Path, path: Path) -> None:
    """Write the heatmap part of MoveNet Thunder as ONNX. Raises AssetError for another model."""
    from dw_core.backends.movenet import Movenet

    onnx.save(convert(model_json, INPUT_NODE, {HEATMAPS_NODE: "heatmaps"}, Movenet.input_size), str(path))


def quantize(model: Path, path: Path, footage: Path, progress: bool = True) -> None:
    """Write the int8 network beside the float32 one; activation ranges come from crops of the footage."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    crops = calibration_crops(model, footage, progress)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Any] | None:
            crop = next(crops, None)
            return None if crop is None else {"image": crop[None]}

    nodes = onnx.load(str(model)).graph.node
    logging.disable(logging.WARNING)  # the quantizer advises a pre-processing step that does nothing here
    try:
        quantize_static(
            str(model), str(path), Reader(),
            quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Clip", "Relu", "Add"],
            nodes_to_exclude=[n.name for n in nodes if any(part in n.name for part in FLOAT_PARTS)],
        )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)


def calibration_crops(model: Path, footage: Path, progress: bool) -> Iterator[UInt8Array]:
    """Person crops (S, S, 3) of every few frames of two views, found by the network itself."""
    from dw_core.backends.movenet import BIAS_PX, Movenet
    from dw_core.data.footage import Footage, decode_jpeg
    from dw_core.geometry.crop import apply_affine, crop_around, full_frame_crop
    from dw_core.progress import bar

    network = Movenet(model, threads=2)
    source = Footage.open(footage, CALIBRATION_VIEWS)
    frames = [(v, i) for v in CALIBRATION_VIEWS for i in range(0, source.frames(v), CALIBRATION_STEP)]
    with bar("int8 calibration", len(frames), progress) as advance:
        for view, index in frames:
            frame = ImageFrame(view, 0, decode_jpeg(source.jpeg(view, index)))
            crop = full_frame_crop(frame.pixels.shape[1], frame.pixels.shape[0])
            for _ in range(2):  # whole image, then about the person
                maps = network.infer(frame, crop).reshape(len(network.joint_set), -1)
                cells = np.stack(np.divmod(maps.argmax(1), network.cells)[::-1], -1)
                pixels = apply_affine(crop.to_pixels(network.cells), cells)
                crop = crop_around(pixels[maps.max(1) > 0.3], 1.25) or crop
            yield sample_crop(frame, crop, network.input_size, BIAS_PX)
            advance(1)
