"""The README in the folder of files: how to go on from here.

Commands for board and debugger: the SDK's and ai8x-synthesis' manuals (commit ab4f4c0).
"""

from __future__ import annotations

from collections.abc import Sequence

from nibblefit_maxim.memory.plan import MemoryPlan
from nibblefit_maxim.parts import Part
from nibblefit_maxim.writing.command import (
    CHECKPOINT_NAME,
    YAML_NAME,
    command_words,
    sample_name,
)


def readme(plan: MemoryPlan, arch: str, dataset: str, flags: Sequence[str] = ()) -> str:
    """Return the text; `flags` are options of the compiler beside those of the plan."""
    sections = (
        _files(plan, arch, dataset),
        _fit(plan),
        _compile(plan, arch, dataset, flags),
        _build(plan.part, arch),
        _flash(plan.part),
        _mismatch(plan, dataset),
    )
    return "\n".join(sections)


def _files(plan: MemoryPlan, arch: str, dataset: str) -> str:
    return f"""# {arch} on the {plan.part.title}

| file | what |
|---|---|
| `{YAML_NAME}` | network description, every key explicit, maps and offsets planned |
| `{CHECKPOINT_NAME}` | integer weights, biases and shifts, in execution order |
| `{sample_name(dataset)}` | one sample input (int64, channels first) |
"""


def _fit(plan: MemoryPlan) -> str:
    figures = plan.metrics()
    estimate = "" if plan.part.name == "max78000" else " (our own estimate)"
    rows = (
        (f"layers ({figures['layers_inserted']:.0f} inserted by the memory plan)", "layers"),
        ("weight words, fullest processor", "kernel_words"),
        ("bias bytes", "bias_bytes"),
        ("bytes of each data memory", "data_bytes"),
    )
    lines = ["## How it fits", "", "| | used | of |", "|---|---|---|"]
    for title, key in rows:
        used = figures.get(f"{key}_peak", figures.get(key, 0))
        lines.append(f"| {title} | {used:.0f} | {figures[f'{key}_limit']:.0f} |")
    time = f"{plan.cycles:,} cycles, {plan.milliseconds:.2f} ms{estimate}"
    lines += ["", f"One inference takes about {time}."]
    lines += ["", *(f"**Mind:** {doubt}." for doubt in plan.doubts())] if plan.doubts() else []
    return "\n".join(lines) + "\n"


def _compile(plan: MemoryPlan, arch: str, dataset: str, flags: Sequence[str]) -> str:
    words = command_words(plan, arch, dataset, folder="$FILES", flags=flags)
    command = " \\\n  ".join(" ".join(word) for word in words)
    lint = " ".join(
        ("nibblefit maxim lint", YAML_NAME, f"--checkpoint {CHECKPOINT_NAME}",
         f"--part {plan.part.name}", *plan.flags)
    )  # fmt: skip
    softmax = (
        ""
        if "--softmax" in flags
        else "\nAdd `--softmax` for a classifier whose probabilities you want on the device (it "
        "reads 32-bit outputs).\n"
    )
    return f"""## Compile

The vendor's network compiler (ai8x-synthesis) runs from its own folder. Put the path of this
folder into `FILES`:

```
export FILES=/path/to/this/folder
{command}
```
{softmax}
All options behind `--overwrite` belong to these files; leaving one out changes results or is
refused. A warning about an offset means that the files were changed by hand: treat it as an error,
and let the linter say what it is:

```
{lint}
```
"""


def _build(part: Part, arch: str) -> str:
    return f"""## Build

The compiler writes a project for the vendor's SDK to `sdk/Examples/{part.device}/CNN/{arch}`. In
that folder:

```
make distclean
make
```

* The makefile finds the SDK through `MAXIM_PATH`. Linux, macOS: `export MAXIM_PATH=$HOME/MaximSDK`.
  Windows: use the SDK's MSYS2 shell and write the path with slashes and without spaces, such as
  `export MAXIM_PATH=/c/MaximSDK`.
* For a board other than the evaluation kit, set `BOARD` in the makefile, or give the compiler
  `--board-name FTHR_RevA`.
* Projects that were generated with another version of the SDK may have an old makefile: generate
  again with `--overwrite` rather than mending it.
"""


def _flash(part: Part) -> str:
    openocd = (
        "openocd -s $MAXIM_PATH/Tools/OpenOCD/scripts -f interface/cmsis-dap.cfg \\\n"
        f"  -f target/{part.name}.cfg"
    )
    return f"""## Flash

With OpenOCD alone:

```
{openocd} \\
  -c "program build/{part.name}.elf verify reset exit"
```

With GDB, to step through the program: start OpenOCD in one terminal,

```
{openocd}
```

and the debugger in another:

```
arm-none-eabi-gdb build/{part.name}.elf \\
  -ex "target extended-remote localhost:3333" -ex "monitor reset halt" -ex load \\
  -ex "monitor reset halt" -ex continue
```

The commands are the same on Windows, in the SDK's MSYS2 shell. The board reports on its serial port
with 115,200 baud.
"""


def _mismatch(plan: MemoryPlan, dataset: str) -> str:
    streams = [layer.name for layer in plan.layers if layer.streaming and layer.bias_bytes]
    bias = (
        f"* The first layers stream and {', '.join(streams)} have a bias, which the "
        f"{plan.part.title} may compute wrongly: train those without bias.\n"
        if streams and plan.part.name == "max78000"
        else ""
    )
    return f"""## If the board says "Data mismatch"

The self-test compares the device, word by word, with the compiler's own simulation of
`{sample_name(dataset)}`. It says nothing about accuracy: the network computes other numbers than it
should. In the order of likelihood:

* Old code is on the board: `make distclean`, build and flash again.
* Files of two runs were mixed: the checkpoint, the description and the sample belong together.
* Maps, offsets or `in_sequences` were changed by hand. The compiler only warns, since it computes
  the expected numbers from the network and not from the addresses; the linter finds it.
* An option of the command above was left out, so that pools round in another way or the input
  arrives in another way.
{bias}* The clock or supply of a new board does not suit the accelerator: try the evaluation kit.

To find the layer, compile with `--stop-after N` for growing N; the first N that fails is the layer.
"""
