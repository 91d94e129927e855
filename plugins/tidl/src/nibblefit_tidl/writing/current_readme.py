"""The README beside a network for the current tools: compile, run, and what goes wrong.

Facts about tools and board: edgeai-tidl-tools 11_00_06_00, its issues, and TI's forum, as named in
the plugin's reference.
"""

from __future__ import annotations

from collections.abc import Sequence

from nibblefit.ir.graph import Graph
from nibblefit_tidl.configuration.provider_rules import FEWEST_FRAMES, provider_advice
from nibblefit_tidl.devices import Device
from nibblefit_tidl.front.stage import Front
from nibblefit_tidl.writing.front_files import TRAINED
from nibblefit_tidl.writing.models import NotWritten, WrittenModel


def current_readme(network: Graph, models: Sequence[WrittenModel],
                   left_out: Sequence[NotWritten], device: Device, frames: int, *,
                   front: Front | None = None, pictures: bool = False) -> str:  # fmt: skip
    """Return the text; with pictures, mean and scale for them are in the folder."""
    return "\n".join((
        _files(network, models, left_out, device, frames, front=front, pictures=pictures),
        _compile(models), _run(models[-1], pictures=pictures), _importer(models), _wrong(device),
    ))  # fmt: skip


def _files(network: Graph, models: Sequence[WrittenModel], left_out: Sequence[NotWritten],
           device: Device, frames: int, *, front: Front | None, pictures: bool) -> str:  # fmt: skip
    rows = []
    for model in models:
        rows += [
            f"| `{model.name}.onnx` | {model.title} |",
            f"| `{model.name}_options.json` | options for ONNX Runtime's TIDL provider |",
        ]
        if model.imported is not None:
            rows.append(f"| `{TRAINED}.onnx` | the network as it was trained, for the importer |")
        if model.importer is not None:
            rows.append(f"| `{model.name}_import.txt` | the same for the stand-alone importer |")
    notes = [
        f"* `{model.name}`: {note}"
        for model in models
        for note in (
            *model.notes,
            *(f"{advice.message}; {advice.remedy}." for advice in provider_advice(model.provider)),
        )
    ]
    notes += [f"* There is no `{one.name}.onnx`: {one.reason}." for one in left_out]
    mind = "\n".join(["", *notes, ""]) if notes else ""
    kind = "float32" if front is None else "uint8"
    rows.append(f"| `calibration/` | {frames} calibration samples as raw {kind}, and their list |")
    if pictures:
        rows.append("| `pixels.json` | mean and scale from pixels (0 to 255) to the input |")
    shape = " x ".join(map(str, network.shapes[network.inputs[0]]))
    return f"""# {network.name} for TIDL on {device.name.upper()} ({device.soc})

| file | what |
|---|---|
{chr(10).join(rows)}
| `run_model.py` | compiles and runs any of the models; `--help` explains it |
| `integers/` | the integer network as it was evaluated, for nibblefit |

{_input(shape, front)}
{mind}"""


def _input(shape: str, front: Front | None) -> str:
    converts = "the accelerator converts it (`add_data_convert_ops` 3), not ARM."
    if front is None:
        return f"The input is 1 x {shape}, float32; {converts}"
    place = ("in the weights of the first layer" if front.inside
             else "in layers in front of the network, on the accelerator")  # fmt: skip
    means, scales = (", ".join(f"{entry:.9g}" for entry in entries)
                     for entries in (front.given.mean, front.given.scale))  # fmt: skip
    return (
        f"The input is 1 x {shape}, uint8: pixels of 0 to 255 as they are;\n{converts}\n"
        f"Mean ({means}) and scale ({scales}) are {place}:\nthe application must not normalize."
    )


def _compile(models: Sequence[WrittenModel]) -> str:
    lines = "\n".join(f"python run_model.py compile {model.name}" for model in models)
    return f"""## Compile, on a PC

With TI's onnxruntime and tools installed, in this folder:

```
export TIDL_TOOLS_PATH=/path/to/tidl_tools
{lines}
```

Each writes a folder of artifacts, which must not exist or be empty before. Without TI's onnxruntime
the script says so and runs the network on the CPU instead, which shows that the files are sound.
"""


def _run(model: WrittenModel, *, pictures: bool) -> str:
    shown = f"python3 run_model.py run {model.name} --images /path/to/pictures\n" * pictures
    return f"""## Run, on the board

Copy this folder with its artifacts to the board, then:

```
python3 run_model.py run {model.name}
{shown}```

`--cpu` runs the same network without TIDL, for comparison; `--save outputs.npz` keeps the outputs.
"""


def _importer(models: Sequence[WrittenModel]) -> str:
    lines = [f"tidl_model_import.out {model.name}_import.txt"
             for model in models if model.importer is not None]  # fmt: skip
    if not lines:
        return ""
    return f"""## The stand-alone importer

Instead of ONNX Runtime, in this folder:

```
{chr(10).join(lines)}
```

Any key can be set behind the file, as in `--numFrames 20`. "Num of Layer Detected: 0" means that
the format or its operators were not recognized, not that the network is empty.
"""


def _wrong(device: Device) -> str:
    bias = ("" if not device.narrow_bias else
            f"* **{device.name.upper()} has 16-bit biases and one scale per tensor.** A model "
            'with zero points\n  or one weight scale per channel ends in "bad node spec" or '
            "collapses; use power-of-two scales\n  (`quantization_scale_type` 1).\n")  # fmt: skip
    return f"""## What goes wrong

* **Everything runs on ARM.** The artifacts folder has no `allowedNode.txt`: compiling failed, or
  another folder was given. The script refuses to run then.
* **The tools and the board's firmware differ.** Messages about the size of an I/O descriptor (37272
  against 37256 bytes, for example) mean that: use tools of the board's SDK release, and set
  `advanced_options:c7x_firmware_version`.
* **Accuracy is gone although the CPU is right.** Fewer than {FEWEST_FRAMES} calibration frames, or
  another mean and scale than in training. Compare step by step: `tensor_bits` 32 on the PC must
  equal the CPU; then 16, then 8; then give the first and last convolution 16 bits.
* **"DIM Error ... Dim is -1".** A shape is missing; the files here state all of them.
* **A run did not free its memory.** A process that was killed keeps the accelerator's shared
  memory; the next one fails to allocate or hangs. End what is left (`ps | grep python3`), remove
  stale files of yours from `/dev/shm`, restart the daemon of the remote cores, or reboot.
* **Old and new artifacts are mixed.** Compile into an empty folder.
{bias}"""
