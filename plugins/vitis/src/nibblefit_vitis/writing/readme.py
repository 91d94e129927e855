"""README of a folder: what is in it, how it is compiled, copied, run, and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nibblefit.ir.graph import frozen_mapping
from nibblefit_vitis.writing.onnx_form.writing import NOTE
from nibblefit_vitis.writing.summary import Summary

#: The four roundings in numpy; `steps` are real values in steps of the input's format.
_ROUNDINGS = {
    "half_up": "np.floor(steps + 0.5)",
    "std_round": "np.copysign(np.floor(np.abs(steps) + 0.5), steps)",
    "half_down": "np.copysign(np.ceil(np.abs(steps) - 0.5), steps)",
    "half_even": "np.rint(steps)",
}


@dataclass(frozen=True, slots=True)
class Contents:
    """What a folder holds.

    Attributes:
        stem: Of the xmodel and the ONNX file.
        command: Line that compiles; empty without xmodel.
        summary: What a program on the board must know.
        corrected: Whether there is a file of bias corrections.
        left_out: File → why it is missing.
    """

    stem: str
    command: str
    summary: Summary
    corrected: bool
    left_out: Mapping[str, str] = field(default_factory=frozen_mapping)


def readme_text(contents: Contents) -> str:
    """Return the text, in Markdown."""
    parts = [_files(contents)]
    if contents.command:
        parts += [_compile(contents), _board(contents)]
    return "\n".join([f"# {contents.summary.network} for {contents.summary.part}", "", *parts,
                      _wrong(contents.summary)])  # fmt: skip


def _files(contents: Contents) -> str:
    rows = {
        f"{contents.stem}.xmodel": "the quantized network, which the compiler reads",
        "quant_info.json": "fix positions under Vitis AI's names of layers; its test mode compares "
        "`graph_md5` with that of its own graph and refuses another tool's",
        "bias_corr.pth": "what bias correction took off every bias (already in the xmodel)",
        f"{contents.stem}.onnx": f"the same network as QDQ ONNX. {NOTE}",
        "arch.json": f"the DPU: {contents.summary.dpu or contents.summary.fingerprint}",
        "deployment.txt, deployment.json": "scalings, layout and preprocessing for the board",
        "names.json": "names of the network's layers for those in the xmodel, for nibblefit",
        "checksums.json": "SHA-256 of the files above",
    }
    if not contents.corrected:
        del rows["bias_corr.pth"]
    if not contents.command:
        del rows["names.json"]
    lines = [f"| `{name}` | {text} |" for name, text in rows.items()
             if name not in contents.left_out]  # fmt: skip
    missing = [f"`{name}` is missing: {reason}." for name, reason in contents.left_out.items()]
    if missing:
        missing.append("")
    return "\n".join(["| file | what it is |", "|---|---|", *lines, "", *missing])


def _compile(contents: Contents) -> str:
    return f"""## Compile

In AMD's Vitis AI container, in this folder:

```
{contents.command}
```

It writes `compiled/{contents.stem.removesuffix("_int")}.xmodel`, `meta.json` and `md5sum.txt`.
"Total device subgraph number 3, DPU subgraph number 1" is what a network that runs on the DPU as a
whole gives; more DPU subgraphs mean that layers between them run on the CPU.

Check what came back, and that the board's DPU is the one compiled for:

```
nibblefit vitis verify . --md5 compiled/md5sum.txt --fingerprint {contents.summary.fingerprint}
```
"""


def _board(contents: Contents) -> str:
    end, out = contents.summary.inputs[0], contents.summary.outputs[0]
    name = contents.stem.removesuffix("_int")
    return f"""## Run on the board

Copy `compiled/{name}.xmodel` and `deployment.json`; VART and XIR are part of AMD's image.

```python
import json
import numpy as np, vart, xir

ends = json.load(open("deployment.json"))
graph = xir.Graph.deserialize("{name}.xmodel")
parts = graph.get_root_subgraph().toposort_child_subgraph()
(part,) = [p for p in parts if p.has_attr("device") and p.get_attr("device") == "DPU"]
runner = vart.Runner.create_runner(part, "run")
given, made = runner.get_input_tensors()[0], runner.get_output_tensors()[0]

values = np.zeros(given.dims, np.float32)  # preprocessed, {end.layout}
steps = values * ends["inputs"][0]["scaling"]
codes = {_ROUNDINGS[contents.summary.rounding]}.clip(-128, 127).astype(np.int8)
result = np.zeros(made.dims, np.int8)
runner.wait(runner.execute_async([codes], [result]))
scores = result * ends["outputs"][0]["scaling"]
```

The input is multiplied by {end.scaling:g}, the output by {out.scaling:g}.
"""


def _wrong(summary: Summary) -> str:
    return f"""## What goes wrong

* **Fingerprint mismatch.** The board's DPU (`xdputil query`, `show_dpu`) must be
  {summary.fingerprint}. Otherwise set `target.arch` to the board's fingerprint and compile again;
  switching the check off does not make other hardware fit.
* **Good here, bad on the board.** Nearly always the input: wrong mean or scale, wrong order of
  colours, or codes not multiplied by the input's scaling. Compare with `deployment.txt`.
* **Several DPU subgraphs.** `nibblefit inspect` says which layer runs on the CPU and why.
"""
