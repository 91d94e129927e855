"""The README beside a classic network: how to import it, and what goes wrong on the board.

Facts about the board: TI user guide, Processor SDK Linux 5.x/6.x, and threads of TI's forum that
the plugin's reference names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_tidl.classic.merging import merged_layers
from nibblefit_tidl.classic.numerics import PRESETS
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.configuration.classic_model import ClassicImport
from nibblefit_tidl.devices import ClassicDevice
from nibblefit_tidl.front.numbers import Where
from nibblefit_tidl.front.stage import Front
from nibblefit_tidl.writing.classic_config import (
    CONFIG,
    NETWORK,
    OUT_NETWORK,
    OUT_WEIGHTS,
    SAMPLES,
    STATS_TOOL,
    WEIGHTS,
)

#: Kinds of slow layers on EVE. Source: TI user guide, EVE computes softmax by emulated floats.
_SLOW_ON_EVE = frozenset({Op.SOFTMAX})


def classic_readme(
    network: Graph, graph: QuantizedGraph, config: ClassicImport, options: ClassicOptions,
    device: ClassicDevice, *, front: Front | None = None,
) -> str:  # fmt: skip
    """Return the text."""
    return "\n".join((
        _files(network, graph, config, front), _import(network, config), _run_time(options),
        _board(device), _placing(network, config),
    ))  # fmt: skip


def _files(network: Graph, graph: QuantizedGraph, config: ClassicImport,
           front: Front | None) -> str:  # fmt: skip
    form = graph.tensors[graph.inputs[0]].format
    shape = " x ".join(map(str, network.shapes[network.inputs[0]]))
    step = float(form.scale.values()[0])
    return f"""# {network.name} for TIDL on EVE and C66x

| file | what |
|---|---|
| `{NETWORK}`, `{WEIGHTS}` | the float network as Caffe, batch norms folded, zeros kept |
| `{CONFIG}` | import configuration; every key is explained in it |
| `{SAMPLES}` | {config.num_sample_in_data} calibration samples as raw {form.name} codes, planar |
| `ranges.json` | lowest and highest value of every tensor, as calibration measured them |

The input is {shape} of {form.name}; one code is {step:.9g}.{_normalized(front)}
Weights have {config.num_param_bits} bits, unsigned with an offset, so that a weight of zero stays
exactly zero and EVE can skip it.
"""


def _normalized(front: Front | None) -> str:
    if front is None:
        return ""
    place = ("the weights of the first layer" if front.where is Where.FOLD
             else "a Scale layer in front")  # fmt: skip
    means, scales = (", ".join(f"{entry:.9g}" for entry in entries)
                     for entries in (front.given.mean, front.given.scale))  # fmt: skip
    return (
        f" Codes are pixels: mean ({means})\nand scale ({scales}) are in {place}; the application "
        "must not\nnormalize, and no preProcType with a mean may be used."
    )


def _import(network: Graph, config: ClassicImport) -> str:
    rows = len(merged_layers(network)) + 2
    kernels = ("one value per layer, which must be as many as the importer's table has rows"
               if len(config.conv2d_kernel_type) > 1 else "one value for all layers")  # fmt: skip
    return f"""## Import

In this folder, with the SDK's `{STATS_TOOL}` beside it (or its path in `tidlStatsTool`):

```
tidl_model_import.out {CONFIG}
```

It writes `{OUT_NETWORK}` and `{OUT_WEIGHTS}`. Look at its table before anything else:

* It should have {rows} rows, with the data layers at both ends.
* `conv2dKernelType` is {kernels}.
* "Num of Layer Detected: 0", or a table of data layers alone: the format was not recognized; check
  `modelType`. The network is not empty.
* "Setting RAND Kernel Params": weights of a layer were not found and are random now. Both files
  must come from the same folder.
* Its "Total Giga Macs" also counts pooling, biases and fully connected layers; TI's published
  figures count convolutions alone.
* Releases before 1.0 do not know `conv2dKernelType = -1`: leave the line out there.
"""


def _run_time(options: ClassicOptions) -> str:
    first, later, margin = PRESETS[options.frames]
    set_values: Mapping[str, Any] = {
        "quantHistoryParam1": first if options.history_first is None else options.history_first,
        "quantHistoryParam2": later if options.history is None else options.history,
        "quantMargin": margin if options.margin is None else options.margin,
    }
    lines = "\n".join(f"* `{key}` = {value}" for key, value in set_values.items())
    return f"""## Run time

Shifts are chosen frame by frame from running ranges. The application sets, for these files:

{lines}

With other values, accuracy is another than the one that was evaluated. For single pictures all
three must be 0. In video, the first frames and the one after a cut may saturate.
"""


def _board(device: ClassicDevice) -> str:
    low, high = device.cmem_mebibytes_per_eve
    return f"""## What goes wrong on the board

* **CMEM is too small.** Each EVE in use takes {low} to {high} MiB of contiguous memory; the
  {device.name.upper()} has {device.eves}: {device.eves * low} to {device.eves * high} MiB in all.
  The default suffices for two EVEs. Enlarge the CMEM area in the device tree, or use fewer cores.
* **A run did not free its memory.** A program that crashed or was killed leaves its buffers
  allocated; the next one stops with an assertion in `malloc_ddr`. Restart the daemon that owns the
  memory, and reboot if that does not help:

```
systemctl restart ti-mct-daemon.service
systemctl status ti-mct-daemon.service
```

* **OpenCL finds no device, or hangs at its first call.** The firmware of a core is not running.
  See what it said last: `cat /sys/kernel/debug/remoteproc/remoteproc*/trace0`; then reboot.
* **Results of the first frames differ from the others.** That is how ranges settle; see above.
* **A network of two outputs is refused.** These devices give one output tensor.
"""


def _placing(network: Graph, config: ClassicImport) -> str:
    groups = config.layers_group_id
    eve, dsp = (sum(group == core for group in groups) for core in (1, 2))
    slow = [node.name for node in network.nodes if node.op in _SLOW_ON_EVE]
    note = (f"This network has {', '.join(f'`{name}`' for name in slow)}: place it there."
            if slow else "This network has none.")  # fmt: skip
    if dsp and not eve:
        note = "Here everything is on the DSP."
    return f"""## Placing layers on EVE and DSP

`layersGroupId` gives every row of the importer's table a processor: 0 the data layers at both ends,
1 EVE, 2 DSP; each group is one run of neighbours, and there are as many numbers as rows. Here {eve}
layers are on EVE and {dsp} on the DSP. Without the key all layers run on one kind of core. EVE
computes softmax and detection output in emulated floating point; put them on the DSP. {note}
"""
