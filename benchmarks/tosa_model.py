"""The benchmark networks for the TOSA reference model, with the same integers as the judge.

Every rescale is one multiplication by 2^30 and a shift rounding half up, which is exactly the
graph's own shift. TOSA wants windows to end at the image's edge, so even-sized images lose the
padding, or the row and column, that no window reaches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tosa_reference_model
import tosa_serializer as ts
from networks import Layer, Quantized

from nibblefit.fixed.formats import IntArray

_ONE = 1 << 30
_ONE_BITS = 30
#: Asked for by operators that know floats too.
_NAN = ts.NanPropagationMode.PROPAGATE


class TosaNetwork:
    """A network serialized for a fixed batch size."""

    def __init__(self, quantized: Quantized, batch: int) -> None:
        self.quantized, self.batch = quantized, batch
        self.tosa = ts.TosaSerializer(targetMajor=1, targetMinor=1, targetDraft=True)
        self.shapes: dict[str, list[int]] = {}
        channels, height, width = quantized.network.shape
        x = self.tosa.addPlaceholder([batch, height, width, channels], ts.DType.INT8)
        self.names = {"x": x.name}
        self.shapes[x.name] = [batch, height, width, channels]
        for layer in quantized.network.layers:
            self.names[layer.name] = self._layer(layer)
        last = self.names[quantized.network.output]
        block = self.tosa.currRegion.basicBlocks[0]
        block.addOutput(last)
        self.shape = self.shapes[last]
        self.binary = self.tosa.serialize()

    def run(self, codes: npt.NDArray[np.int8]) -> IntArray:
        """Return the logits' codes for int8 images, channels first."""
        image = np.ascontiguousarray(codes.transpose(0, 2, 3, 1))
        outputs, status = tosa_reference_model.run(self.binary, [image])
        if status != tosa_reference_model.GraphStatus.TOSA_VALID:
            raise RuntimeError(f"the TOSA reference model ended in {status}")
        return outputs[0].view(np.int8).reshape(self.batch, -1).astype(np.int64)

    def _constant(self, values: npt.ArrayLike, dtype: Any, numpy_type: type[np.generic]) -> str:
        array = np.asarray(values, dtype=numpy_type)
        name: str = self.tosa.addConst(list(array.shape), dtype, array).name
        return name

    def _shape_constant(self, values: list[int]) -> str:
        name: str = self.tosa.addConst(
            [len(values)], ts.DType.SHAPE, np.array(values, np.int64)
        ).name
        return name

    def _add(
        self, op: Any, inputs: list[str], shape: list[int], dtype: Any, fill: Any = None
    ) -> str:
        made = self.tosa.addIntermediate(shape, dtype)
        attribute = ts.TosaSerializerAttribute()
        if fill is not None:
            fill(attribute)
        self.tosa.addOperator(op, inputs, [made.name], attribute)
        self.shapes[made.name] = list(shape)
        name: str = made.name
        return name

    def _zero(self, dtype: Any = ts.DType.INT8, numpy_type: type[np.generic] = np.int8) -> str:
        return self._constant([0], dtype, numpy_type)

    def _rescale(self, x: str, shift: int, is_narrow: bool) -> str:
        """Return round(x / 2^shift): half up, saturated to int8 if narrow, else int32."""
        int8, int32 = (ts.DType.INT8, np.int8), (ts.DType.INT32, np.int32)
        source, result = (int32, int8) if is_narrow else (int8, int32)
        inputs = [x, self._constant([_ONE], ts.DType.INT32, np.int32),
                  self._constant([_ONE_BITS + shift], ts.DType.INT8, np.int8),
                  self._zero(*source), self._zero(*result)]  # fmt: skip
        return self._add(ts.Op.RESCALE, inputs, self.shapes[x], result[0],
                         lambda a: a.RescaleAttribute(True, ts.RoundingMode.SINGLE_ROUND, False,
                                                      False, False))  # fmt: skip

    def _layer(self, layer: Layer) -> str:
        x, shift = self.names[layer.inputs[0]], self.quantized.shift(layer)
        if layer.kind == "maxpool":
            return self._pool(layer, x)
        if layer.kind == "add":
            fractions = [self.quantized.fractions[name] for name in layer.inputs]
            wide = [self._rescale(self.names[name], fraction - max(fractions), is_narrow=False)
                    for name, fraction in zip(layer.inputs, fractions, strict=True)]  # fmt: skip
            total = self._add(ts.Op.ADD, wide, self.shapes[x], ts.DType.INT32,
                              lambda a: a.AddAttribute())  # fmt: skip
        elif layer.kind == "mean":
            total = self._rescale(x, 0, is_narrow=False)
            for axis in (1, 2):
                shape = [1 if i == axis else size for i, size in enumerate(self.shapes[total])]
                total = self._add(ts.Op.REDUCE_SUM, [total], shape, ts.DType.INT32,
                                  lambda a, axis=axis: a.ReduceSumAttribute(axis))  # fmt: skip
        else:
            total = self._convolution(layer, x)
        codes = self._rescale(total, shift, is_narrow=True)
        return self._rectified(codes) if layer.relu else codes

    def _rectified(self, codes: str) -> str:
        return self._add(ts.Op.CLAMP, [codes], self.shapes[codes], ts.DType.INT8,
                         lambda a: a.ClampAttribute([0], [127], _NAN))  # fmt: skip

    def _fitted(self, layer: Layer, x: str) -> tuple[str, list[int], list[int]]:
        """Return the input, pads and output sizes with which the last window ends at the edge."""
        batch, height, _, channels = self.shapes[x]
        rest = (height + 2 * layer.pad - layer.kernel) % layer.stride
        if rest > layer.pad:
            size = height - rest
            shape = [batch, size, size, channels]
            bounds = [self._shape_constant([0] * 4), self._shape_constant(shape)]
            x = self._add(ts.Op.SLICE, [x, *bounds], shape, ts.DType.INT8,
                          lambda a: a.SliceAttribute())  # fmt: skip
            rest, height = 0, size
        pads = [layer.pad, layer.pad - rest] * 2
        out = (height + 2 * layer.pad - rest - layer.kernel) // layer.stride + 1
        return x, pads, [out, out]

    def _pool(self, layer: Layer, x: str) -> str:
        x, pads, sizes = self._fitted(layer, x)
        shape = [self.batch, *sizes, self.shapes[x][3]]
        windows = ([layer.kernel] * 2, [layer.stride] * 2, pads)
        return self._add(ts.Op.MAX_POOL2D, [x], shape, ts.DType.INT8,
                         lambda a: a.MaxPool2dAttribute(*windows, _NAN))  # fmt: skip

    def _convolution(self, layer: Layer, x: str) -> str:
        x, pads, sizes = self._fitted(layer, x)
        weights, bias = self.quantized.weights[layer.name]
        kernel = weights.reshape(*weights.shape[:2], layer.kernel, layer.kernel)
        inputs = [x, self._constant(kernel.transpose(0, 2, 3, 1), ts.DType.INT8, np.int8),
                  self._constant(bias, ts.DType.INT32, np.int32),
                  self._zero(), self._zero()]  # fmt: skip
        shape = [self.batch, *sizes, layer.channels]
        return self._add(ts.Op.CONV2D, inputs, shape, ts.DType.INT32,
                         lambda a: a.Conv2dAttribute(pads, [layer.stride] * 2, [1, 1], False,
                                                     ts.DType.INT32))  # fmt: skip
