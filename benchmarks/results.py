"""`make results`: train and measure on real data, and write docs/results.md.

Sections: startup (time of ``--help``), demo (the demo's time and memory), mlperf_tiny (four trained
networks quantized by `generic`), maxim_mlperf (the same inspected for the MAX78000 and MAX78002),
maxim_plans (memory plans beside the vendor's), accuracy (MNIST and a Fashion-MNIST excerpt on
`generic` and `maxim`), maxim_mnist and maxim_fashion (three networks in 8, 4 and mixed bits),
tidl_classifier and tidl_segmenter (sparse networks in 8 bits: MNIST, the Fashion-MNIST excerpt,
scenes), tidl_detector (a sparse detector of blood cells in 8 bits on `tidl-classic`), tidl_latency
(the latency model of the classic TIDL devices beside TI's figures), vitis_resnet (ResNet-18 for the
DPU, transferred in three ways), vitis_mlperf (MLPerf Tiny networks for the DPU, with and without
equalization), tao_detector and tao_classifier (blood cells and MNIST: trained, pruned at two
ratios, retrained, INT8). Give names to measure only some of them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.section import ROOT, Grid, Section
from nibblefit.results import Report

DATA = ROOT.parent / "shared" / "data"
RECIPES = ROOT / "benchmarks" / "recipes"
RUNS = ROOT / "runs" / "results"
COMMAND = "make results"


def accuracy() -> Section:
    """Train and quantize the small CNN on both data sets and both targets."""
    import nibblefit
    from nibblefit.cli.reporter import TerminalReporter
    from nibblefit.recipe_file import read_recipe
    from nibblefit.runner import run

    rows, exact = [], []
    for data, folder in (("MNIST", "mnist"), ("Fashion-MNIST excerpt", "fashion-mnist")):
        for target in ("generic", "maxim"):
            recipe = RECIPES / f"{folder.split('-')[0]}_{target}.toml"
            place = RUNS / recipe.stem
            started = time.monotonic()
            read = read_recipe(recipe, {"data.path": str(DATA / folder)})
            run(read, place, reporter=TerminalReporter())
            opened = nibblefit.open_run(place)
            steps = {s: opened.report(s) for s in opened.steps if s.startswith("evaluate")}
            shown = {name: r.metrics.get("top1") for name, r in steps.items()}
            integer = steps["evaluate"]
            rows.append([
                data, target, percent(shown.get("evaluate_float")),
                percent(shown.get("evaluate_qat")), percent(shown["evaluate"]),
                points(shown.get("evaluate_float"), integer.metrics["top1"]),
                f"{time.monotonic() - started:.0f} s",
            ])  # fmt: skip
            exact += [[data, target, *row] for row in exactness(integer)]
    grid = Grid(
        "", ("data", "target", "float", "QAT", "integer", "drop (points)", "whole run"), rows,
        "Top-1 on the test split: 10,000 images for MNIST; the last 615 of the 3,615-image excerpt "
        "for Fashion-MNIST, trained on the first 3,000. Whole run: training, quantization, files, "
        "evaluation and every comparison below.",
    )  # fmt: skip
    bits = Grid(
        "Bit-exactness",
        ("data", "target", "compared with the judge", "outcome", "integers"), exact,
        "Every integer of every layer on the whole test split; a single difference fails the run.",
    )  # fmt: skip
    return Section("accuracy", "Accuracy on real data", COMMAND, [grid, bits])


def percent(value: float | None) -> str:
    """Return a fraction as percent with two decimals, a dash where there is none."""
    return "–" if value is None else f"{100 * value:.2f} %"


def points(before: float | None, after: float) -> str:
    """Return the drop in percentage points."""
    return "–" if before is None else f"{100 * (before - after):.2f}"


def exactness(report: Report) -> list[list[str]]:
    """Return one row per comparison: what was compared, and how many integers agree.

    A single integer that differs stops the evaluation with an error, so a finding is a zero.
    """
    return [
        [finding.rule.removeprefix("exact."), finding.status.value, finding.message]
        for finding in report.findings
        if finding.rule.startswith("exact.")
    ]


def startup() -> Section:
    """Time ``nibblefit --help`` and ``nibblefit run --help`` as a user's shell does."""
    rows = []
    tool = Path(sys.executable).parent / "nibblefit"
    for arguments in (["--help"], ["run", "--help"], ["targets"]):
        seconds = []
        for _ in range(11):
            started = time.perf_counter()
            subprocess.run([tool, *arguments], check=True, capture_output=True)
            seconds.append(time.perf_counter() - started)
        shown = " ".join(["nibblefit", *arguments])
        rows.append([f"`{shown}`", f"{statistics.median(seconds):.3f}", f"{max(seconds):.3f}"])
    grid = Grid("", ("command", "median s", "slowest of 11 s"), rows)
    return Section("startup", "Start of the command line", COMMAND, [grid])


def demo() -> Section:
    """Run the demo's recipe twice in new folders: time, memory, and whether the bytes agree."""
    import shutil

    tool = Path(sys.executable).parent / "nibblefit"
    folders = [RUNS / "demo-a", RUNS / "demo-b"]
    rows = []
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        started = time.monotonic()
        peak = peak_memory([str(tool), "run", "examples/digits_maxim.toml", "--folder", folder])
        rows.append(
            [folder.name, f"{time.monotonic() - started:.0f} s", f"{peak / 2**20:,.0f} MiB"]
        )
    grid = Grid("", ("run", "time", "peak memory"), rows)
    same = Grid("Two runs of one recipe", ("result", "same bytes"), compare_runs(*folders))
    return Section("demo", "The demo", COMMAND, [grid, same, demo_figures(folders[0])])


def peak_memory(command: list[object]) -> int:
    """Run a command and return the largest resident size of its process, in bytes."""
    import os

    process = subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(map(str, command))} failed with status {status}")
    return usage.ru_maxrss * 1024


def compare_runs(first: Path, second: Path) -> list[list[str]]:
    """Return one row per result file of the later stages: whether both runs wrote the same."""
    import nibblefit

    one, two = nibblefit.open_run(first), nibblefit.open_run(second)
    files = zip(one.artifact().files, two.artifact().files, strict=True)
    rows = [[f"file `{a.path}`", "yes" if a.sha256 == b.sha256 else "NO"] for a, b in files]
    for name in ("quantize", "evaluate"):
        same = one.manifest(name).digest == two.manifest(name).digest
        rows.append([f"step {name}", "yes" if same else "NO"])
    return rows


def demo_figures(folder: Path) -> Grid:
    """Return the accuracies that the demo ends with."""
    import nibblefit

    opened = nibblefit.open_run(folder)
    reports = [opened.report(s) for s in opened.steps if s.startswith("evaluate")]
    rows = [[r.subject, percent(r.metrics.get("top1"))] for r in reports]
    return Grid("Accuracy on digits", ("network", "top-1"), rows)


def mlperf_tiny() -> Section:
    """Quantize the trained MLPerf Tiny networks with `generic`; see benchmarks/mlperf_tiny.py."""
    from benchmarks.mlperf_tiny import measure

    return measure(DATA / "mlperf-tiny-onnx")


def maxim_plans() -> Section:
    """Plan the vendor's MAX78000/78002 networks anew; see benchmarks/maxim_plans.py."""
    from benchmarks.maxim_plans import measure

    return measure(DATA.parent / "vendor" / "maxim" / "nets")


def maxim_mlperf() -> Section:
    """Inspect the MLPerf Tiny networks for both parts; see benchmarks/maxim_mlperf.py."""
    from benchmarks.maxim_mlperf import measure

    return measure(DATA / "mlperf-tiny-onnx")


def maxim_mnist() -> Section:
    """Train three networks on MNIST in 8, 4 and mixed bits; see benchmarks/maxim_accuracy.py."""
    from benchmarks.maxim_accuracy import measure

    return measure("mnist", "MNIST on the MAX78000", DATA / "mnist", seeds=(1,))


def maxim_fashion() -> Section:
    """Do the same with the Fashion-MNIST excerpt, whose few test images need several seeds."""
    from benchmarks.maxim_accuracy import measure

    title = "Fashion-MNIST excerpt on the MAX78000"
    return measure("fashion", title, DATA / "fashion-mnist", seeds=(1, 2, 3))


def tidl_classifier() -> Section:
    """Train a sparse classifier on MNIST and Fashion-MNIST; see benchmarks/tidl_accuracy.py."""
    from benchmarks.tidl_accuracy import classifiers

    return classifiers(DATA)


def tidl_segmenter() -> Section:
    """Train a sparse segmenter on composed scenes; see benchmarks/tidl_accuracy.py."""
    from benchmarks.tidl_accuracy import segmenter

    return segmenter(DATA / "mnist")


def tidl_detector() -> Section:
    """Train, sparsify and quantize a detector of blood cells; see benchmarks/tidl_detector.py."""
    from benchmarks.tidl_detector import measure

    return measure(DATA / "bccd", seeds=(1, 2, 3))


def tidl_latency() -> Section:
    """Estimate every latency that TI published for AM57xx; see benchmarks/tidl_latency.py."""
    from benchmarks.tidl_latency import measure

    return measure()


def tao_detector() -> Section:
    """Prune and retrain a detector of blood cells at two ratios; see benchmarks/tao_detector.py."""
    from benchmarks.tao_detector import measure

    return measure(DATA / "bccd", seeds=(1, 2, 3))


def tao_classifier() -> Section:
    """Prune and retrain a ResNet-18 on MNIST at two ratios; see benchmarks/tao_classifier.py."""
    from benchmarks.tao_classifier import measure

    return measure(DATA / "mnist")


def vitis_resnet() -> Section:
    """Train ResNet-18 and transfer it for the DPU; see benchmarks/vitis_resnet.py."""
    from benchmarks.vitis_resnet import measure

    return measure(DATA)


def vitis_mlperf() -> Section:
    """Quantize the MLPerf Tiny networks for the DPU; see benchmarks/vitis_mlperf.py."""
    from benchmarks.vitis_mlperf import measure

    return measure(DATA / "mlperf-tiny-onnx")


_ALL = (
    startup, demo, mlperf_tiny, maxim_mlperf, maxim_plans, accuracy, maxim_mnist, maxim_fashion,
    tidl_classifier, tidl_segmenter, tidl_detector, tidl_latency, vitis_resnet, vitis_mlperf,
    tao_detector, tao_classifier,
)  # fmt: skip
SECTIONS = {section.__name__: section for section in _ALL}


def main() -> None:
    """Measure the sections asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="default: all")
    for name in parser.parse_args().sections or SECTIONS:
        print(f"== {name}", flush=True)
        section = SECTIONS[name]()
        section.save()
        print(section.text(), flush=True)


if __name__ == "__main__":
    main()
