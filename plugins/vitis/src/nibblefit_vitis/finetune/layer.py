"""Training of one layer: rounded weights on rounded inputs, towards the float layer's output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nibblefit.ir.graph import FloatConstant
from nibblefit.nn.execute import EXECUTE
from nibblefit_vitis.formats import NetworkFormats, TensorFormat
from nibblefit_vitis.grouping import Group
from nibblefit_vitis.settings import Kind, NetworkSetting
from nibblefit_vitis.simulation.effective import effective
from nibblefit_vitis.simulation.quantizer import Quantizer, quantizer

Constants = Mapping[str, FloatConstant]


@dataclass(frozen=True, slots=True)
class FinetuneSettings:
    """How long and how strongly; defaults are the original's (pytorch_nndct 3.5).

    Attributes:
        epochs: Most passes over the batches, per layer.
        weight_rate: Learning rate of weights, in standard deviations of the weights.
        bias_rate: Learning rate of the bias, in standard deviations of the bias.
        least_rate: Both rates below this end a layer.
    """

    epochs: int = 100
    weight_rate: float = 0.01
    bias_rate: float = 0.01
    least_rate: float = 1e-5


@dataclass(frozen=True, slots=True)
class LayerTask:
    """What one layer learns from.

    Attributes:
        group: The layer with the activations behind it.
        constants: Current values.
        references: Values of the float network.
        formats: Of all tensors.
        setting: What they were made for.
        inputs: Rounded inputs, batch by batch.
        targets: The float network's values at the group's end.
    """

    group: Group
    constants: Constants
    references: Constants
    formats: NetworkFormats
    setting: NetworkSetting
    inputs: Sequence[Tensor]
    targets: Sequence[Tensor]


def train_layer(task: LayerTask, settings: FinetuneSettings, loss: float,
                judge: Callable[[Constants], float]) -> tuple[Constants, float]:  # fmt: skip
    """Return trained constants, empty where none was better, and the loss of the network.

    After every epoch the network is judged: better constants stay, others are taken back and both
    rates halved. The layer ends when the rates are spent or the loss repeats.

    Args:
        task: What to learn.
        settings: How long and how strongly.
        loss: Of the network so far.
        judge: Returns the loss of the network with other constants.
    """
    layer = _Layer(task)
    best, last = layer.values(), None
    found: Constants = {}
    rates = layer.rates(settings)
    for _ in range(settings.epochs):
        if max(rates.values()) < settings.least_rate:
            break
        layer.epoch(rates)
        given = layer.constants()
        judged = judge(given)
        if judged < loss:
            best, found, loss = layer.values(), given, judged
        else:
            layer.restore(best)
            rates = {name: rate / 2 for name, rate in rates.items()}
        if judged == last:
            break
        last = judged
    return found, loss


class _Layer:
    def __init__(self, task: LayerTask) -> None:
        self.task, self.node = task, task.group.head
        self.names = tuple(n for n in self.node.inputs[1:] if n in task.constants)
        self.trained = {n: _tensor(task.constants[n]).requires_grad_() for n in self.names}
        self.wanted = _tensor(task.references[self.names[0]])
        self.alive = self.trained[self.names[0]].detach() != 0
        kinds = (Kind.WEIGHTS, Kind.BIAS)
        self.quantizers = {
            name: _quantizer(task.formats.params.get(name), task.setting, self.node.name, kind)
            for name, kind in zip(self.names, kinds)
        }
        self.reader = _quantizer(task.formats.inputs.get(self.node.name), task.setting,
                                 self.node.name, Kind.INPUT)  # fmt: skip
        self.output = _quantizer(task.formats.outputs.get(task.group.end), task.setting,
                                 self.node.name, Kind.ACTIVATION)  # fmt: skip

    def rates(self, settings: FinetuneSettings) -> dict[str, float]:
        """Return a learning rate for weights and bias."""
        weights = self.trained[self.names[0]].detach()
        rates = {self.names[0]: settings.weight_rate * _spread(weights)}
        if len(self.task.inputs[0]) == 1:
            rates[self.names[0]] *= 0.5
        # Weights that rounding hardly touches need little: signal to noise per 8 (dB / 10 · 1.25).
        noise = (_through(weights, self.quantizers[self.names[0]]) - weights).square().mean()
        power = weights.square().mean()
        if float(noise) == 0 or 1.25 * float(torch.log10(power / noise)) > 4.5:
            rates[self.names[0]] *= 0.1
        for name in self.names[1:]:
            rates[name] = settings.bias_rate * _spread(self.trained[name].detach())
        return rates

    def epoch(self, rates: Mapping[str, float]) -> None:
        """Go once over all batches."""
        optimizer = torch.optim.Adam(
            [{"params": [self.trained[name]], "lr": rates[name]} for name in self.names]
        )
        for x, target in zip(self.task.inputs, self.task.targets, strict=True):
            optimizer.zero_grad()
            error = (self._output(x) - target).square().mean()
            error = error + (self.trained[self.names[0]] - self.wanted).square().mean()
            error.backward()  # type: ignore[no-untyped-call]
            gradient = self.trained[self.names[0]].grad
            assert gradient is not None
            # Weights of zero stay zero: pruning may have made them.
            gradient.mul_(self.alive)
            optimizer.step()

    def _output(self, x: Tensor) -> Tensor:
        read = x if self.reader is None else self.reader.real(x)
        values = [read, *(_through(self.trained[n], self.quantizers[n]) for n in self.names)]
        for node in self.task.group.members:
            result = EXECUTE[node.op](node.attributes, values)
            assert isinstance(result, Tensor)
            values = [result]
            if node.output == self.task.group.end:
                break
        return _through(values[0], self.output)

    def values(self) -> dict[str, Tensor]:
        """Return copies of the current values."""
        return {name: tensor.detach().clone() for name, tensor in self.trained.items()}

    def restore(self, values: Mapping[str, Tensor]) -> None:
        """Take values back."""
        with torch.no_grad():
            for name, value in values.items():
                self.trained[name].copy_(value)

    def constants(self) -> dict[str, FloatConstant]:
        """Return the current values as constants of the graph."""
        found = {}
        for name, value in self.values().items():
            array = value.numpy()
            array.flags.writeable = False
            found[name] = array
        return found


def _tensor(values: FloatConstant) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))


def _spread(values: Tensor) -> float:
    return float(values.std()) if values.numel() > 1 else float(values.abs().sum())


def _quantizer(fmt: TensorFormat | None, setting: NetworkSetting, layer: str,
               kind: Kind) -> Quantizer | None:  # fmt: skip
    return None if fmt is None else quantizer(fmt, effective(setting, layer, kind))


def _through(values: Tensor, given: Quantizer | None) -> Tensor:
    """Return rounded values; gradients pass where nothing was cut off."""
    if given is None:
        return values
    lowest, highest = (_limit(given, code, values) for code in (given.lowest, given.highest))
    limited = torch.minimum(torch.maximum(values, lowest), highest)
    return limited + (given.real(values.detach()) - limited.detach())


def _limit(given: Quantizer, code: int, values: Tensor) -> Tensor:
    """Return the real value of a code, for the tensor or per channel."""
    shape = [1] * values.dim()
    if given.axis is not None:
        shape[given.axis] = -1
    zero, inverse = torch.tensor(given.zero), torch.tensor(given.inverse, dtype=values.dtype)
    return ((code - zero) / inverse).reshape(shape if given.axis is not None else ())
