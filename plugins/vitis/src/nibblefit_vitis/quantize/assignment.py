"""Every number format and every code of a network, from what calibration found."""

from __future__ import annotations

import numpy as np

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import FloatArray, Format, Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.ops import Op
from nibblefit.quantization.align import product_scale
from nibblefit.quantization.assign import AFFINE, Assignment, fixed_format, raw_format
from nibblefit.quantization.units import AVERAGES, Output, Unit
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.preparation.constants import pool_reciprocal
from nibblefit_vitis.quantize.arithmetic import rounding_of
from nibblefit_vitis.quantize.formats import codes_of, core_format, covering, frozen
from nibblefit_vitis.quantize.places import KEEPERS, Places
from nibblefit_vitis.settings import Kind, NetworkSetting
from nibblefit_vitis.simulation.effective import has_device_constants

#: Width of a bias that joins sums of float scale.
_BIAS_BITS, _WIDE_BIAS_BITS = 32, 60


def assign(graph: Graph, parts: tuple[Unit, ...], numerics: Numerics, formats: NetworkFormats,
           setting: NetworkSetting) -> Assignment:  # fmt: skip
    """Return all formats and codes of a prepared graph.

    Raises:
        UnsupportedError: A tensor has no calibrated format, or one that integers cannot have.
    """
    assigner = _Assigner(graph, numerics, formats, setting)
    for name in graph.inputs:
        assigner.done.tensors[name] = assigner.of(name)
    for unit in parts:
        assigner.add(unit)
    return assigner.done


class _Assigner:
    def __init__(self, graph: Graph, numerics: Numerics, formats: NetworkFormats,
                 setting: NetworkSetting) -> None:  # fmt: skip
        self.graph, self.numerics = graph, numerics
        self.formats, self.setting = formats, setting
        self.places = Places(graph, formats)
        self.done = Assignment()
        self.constant_averages = has_device_constants(setting)

    def of(self, tensor: str) -> Format:
        """Return the calibrated format of a tensor."""
        owner = self.places.owner(tensor)
        found = self.formats.outputs[owner] if owner is not None else None
        if found is None:
            raise UnsupportedError(
                f"tensor '{tensor}' has no format: calibration left it out",
                hint="quantize the whole network; a part of it alone is not supported",
            )
        return core_format(found, tensor)

    def add(self, unit: Unit) -> None:
        """Give a unit's constants their codes and its output its format."""
        node = unit.node
        if node.op in AFFINE:
            self._affine(node)
        else:
            self._operands(node)
        out = self._output(unit)
        self.done.tensors.update(dict.fromkeys(unit.tensors, out))
        own = self.setting.of(unit.layer, Kind.ACTIVATION)
        rounding = rounding_of(self.setting, Kind.ACTIVATION, unit.layer)
        if rounding is not self.numerics.requant.rounding:
            self.done.roundings[node.name] = rounding
        if own.narrow_range and out.signed and unit.output is not Output.RAW:
            self.done.lowest.update(dict.fromkeys(unit.tensors, out.lo + 1))
        if node.op in AVERAGES and self.constant_averages:
            found = pool_reciprocal(self.graph, node)
            self.done.reciprocals[node.name] = (found.multiplier, found.shift)

    def _output(self, unit: Unit) -> Format:
        node = unit.node
        if unit.output is Output.RAW:
            return raw_format(node, self.graph, self.done, self.numerics)
        if node.op is Op.ARGMAX:
            return fixed_format(node, self.numerics)
        if node.op in KEEPERS and self.places.owner(unit.tensors[0]) is None:
            return self.done.operand(node, 0)
        return self.of(unit.tensors[0])

    def _operands(self, node: Node) -> None:
        """Quantize constants that stand where tensors could."""
        for place, name in enumerate(node.inputs):
            values = self._values(node, place)
            if values is None:
                continue
            own = self.setting.of(node.name, Kind.WEIGHTS)
            found = self.formats.params.get(name)
            fmt = core_format(found, name) if found else covering(values, own.bit_width)
            self.done.constants[node.name, place] = codes_of(
                values, fmt, own, rounding_of(self.setting, Kind.WEIGHTS, node.name)
            )

    def _affine(self, node: Node) -> None:
        """Quantize weights and bias."""
        weights = self._values(node, 1)
        if weights is None:
            raise UnsupportedError(
                f"layer '{node.name}' ({node.op.value}) takes its weights from another layer",
                hint="use constant weights, or matmul for products of two tensors",
            )
        own = self.setting.of(node.name, Kind.WEIGHTS)
        self.done.constants[node.name, 1] = codes_of(
            weights, self._param(node, 1), own, rounding_of(self.setting, Kind.WEIGHTS, node.name)
        )
        bias = self._values(node, 2)
        if bias is not None:
            self._bias(node, bias)

    def _bias(self, node: Node, values: FloatArray) -> None:
        """Quantize a bias; beside float scales it is restated in steps of the sums it joins."""
        own, fmt = self.setting.of(node.name, Kind.BIAS), self._param(node, 2)
        rounding = rounding_of(self.setting, Kind.BIAS, node.name)
        codes = codes_of(values, fmt, own, rounding)
        x, weights = self.done.operand(node, 0), self.done.operand(node, 1)
        sums = product_scale(x.scale, weights.scale)
        if sums.frac is None or fmt.scale.frac is None:
            steps = fmt.scale.values()
            real = (codes.values - np.array(fmt.zero_point)) * steps
            fits = float(np.abs(real / sums.values()).max(initial=0.0)) < 2.0 ** (_BIAS_BITS - 1)
            joined = Format(_BIAS_BITS if fits else _WIDE_BIAS_BITS, True, sums, (0,),
                            0 if len(sums) > 1 else None)  # fmt: skip
            codes = frozen(quantize(real, joined, Rounding.HALF_EVEN), joined)
        self.done.constants[node.name, 2] = codes

    def _param(self, node: Node, place: int) -> Format:
        name = node.inputs[place]
        found = self.formats.params.get(name)
        if found is None:
            what = "weights" if place == 1 else "bias"
            raise UnsupportedError(
                f"the {what} '{name}' of layer '{node.name}' have no format: calibration left "
                "them out",
                hint="quantize the whole network; a part of it alone is not supported",
            )
        return core_format(found, name)

    def _values(self, node: Node, place: int) -> FloatArray | None:
        found = self.graph.constants.get(node.inputs[place]) if place < len(node.inputs) else None
        return None if found is None else np.asarray(found, np.float64)
