"""The README in the folder of files: how to go on from here."""

from __future__ import annotations

from nibblefit_maxim.memory.plan import MemoryPlan

#: The folder's files, by role.
YAML_NAME = "network.yaml"
CHECKPOINT_NAME = "checkpoint-q.pth.tar"
README_NAME = "README.md"


def sample_name(dataset: str) -> str:
    """Return the sample's file name, as the compiler looks for it."""
    return f"sample_{dataset.lower()}.npy"


def command_line(
    plan: MemoryPlan, arch: str, dataset: str, *, folder: str, flags: tuple[str, ...] = ()
) -> str:
    """Return the compiler's command line; it must be run from the compiler's own folder."""
    more = "".join(f" {flag}" for flag in (*plan.flags, *flags))
    return (
        f"python ai8xize.py --test-dir sdk/Examples/{plan.part.device}/CNN --prefix {arch} "
        f"--device {plan.part.device} --config-file {folder}/{YAML_NAME} "
        f"--checkpoint-file {folder}/{CHECKPOINT_NAME} "
        f"--sample-input {folder}/{sample_name(dataset)} "
        f"--timer 0 --display-checkpoint --verbose --overwrite{more}"
    )


def readme(plan: MemoryPlan, arch: str, dataset: str, flags: tuple[str, ...] = ()) -> str:
    """Return the text; `flags` are options of the compiler that the arithmetic asks for."""
    figures = plan.metrics()
    command = command_line(plan, arch, dataset, folder="$FILES", flags=flags)
    estimate = "" if plan.part.name == "max78000" else " (our own estimate)"
    time = f"{figures['cycles']:,.0f} cycles, {figures['milliseconds']:.2f} ms{estimate}"
    return f"""# {arch} on the {plan.part.title}

| file | what |
|---|---|
| `{YAML_NAME}` | network description, every key explicit, maps and offsets planned |
| `{CHECKPOINT_NAME}` | integer weights, biases and shifts, in execution order |
| `{sample_name(dataset)}` | one sample input (int64, channels first) |

Uses {figures["layers"]:.0f} of {figures["layers_limit"]:.0f} layers
({figures["layers_inserted"]:.0f} of them inserted by the memory plan),
{figures["kernel_words_peak"]:.0f} of {figures["kernel_words_limit"]:.0f} weight words on the
fullest processor, {figures["bias_bytes"]:.0f} of {figures["bias_bytes_limit"]:.0f} bias bytes and
{figures["data_bytes_peak"]:.0f} of {figures["data_bytes_limit"]:.0f} bytes of each data memory.
One inference takes about {time}.

## Compile

The vendor's network compiler (ai8x-synthesis) runs from its own folder. Put the path of this
folder into `FILES`:

```
export FILES=/path/to/this/folder
{command}
```

Add `--softmax` for a classifier whose probabilities you want on the device. A warning about an
offset means that the files were changed by hand: treat it as an error.

## Build and flash

The compiler writes a project for the vendor's SDK. In its folder, on Linux or macOS:

```
make -r
openocd -s $MAXIM_PATH/Tools/OpenOCD/scripts -f interface/cmsis-dap.cfg \\
  -f target/{plan.part.name}.cfg -c "program build/{plan.part.name}.elf verify reset exit"
```

On Windows use the SDK's MSYS2 shell for `make`; to debug, start `openocd` without the `-c` option
and connect `arm-none-eabi-gdb` with `target extended-remote localhost:3333`.

## If the board says "Data mismatch"

The self-test compares the device with the compiler's own simulation of `{sample_name(dataset)}`. A
mismatch almost always means stale code (rebuild from scratch), maps or offsets changed by hand, or
files of two runs mixed. To find the layer, compile with `--stop-after N` for growing N.
"""
