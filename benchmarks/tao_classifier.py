"""A narrow ResNet-18 on MNIST, by recipe only: trained, pruned at two ratios, retrained, INT8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.section import Section
from benchmarks.tao_loop import check, loop_grid, looped, means, seeds_grid

RECIPE = "tao_mnist.toml"
METRIC, LABEL = "top1", "top-1"
#: Least accuracy of the unpruned network, and largest loss of the one retrained at 0.22.
FLOOR, DROP = 0.985, 0.01


def measure(data: Path, seeds: Sequence[int] = (1,)) -> Section:
    """Run the loop once per seed.

    Args:
        data: Folder of MNIST's files.
        seeds: Seeds of the runs.

    Raises:
        LimitMissedError: The mean misses a limit, or engine and judge were not compared.
    """
    loops = {seed: looped(RECIPE, data, seed, METRIC) for seed in seeds}
    mean = means(list(loops.values()))
    check("tao_classifier", mean, FLOOR, DROP)
    compared = sum(loop.compared for loop in loops.values())
    note = (
        "`benchmarks/recipes/tao_mnist.toml`: ResNet-18 of a quarter of the width, a projection at "
        "every shortcut, no first pooling. 54,000 training images, 10,000 to test. Thresholds are "
        "solved for the ratio; both ratios share one training. A negative drop is a gain. Time: "
        "the step and its evaluation, on one thread; other work shared the machine. Engine and "
        f"judge agreed on all {compared:,} integers compared. A mean below {FLOOR}, more "
        "parameters than the ratio, or a loss of more than "
        f"{100 * DROP:.0f} point after retraining at 0.22 fails the run."
    )
    return Section("tao_classifier", "ResNet-18 on MNIST (TAO)", "make results",
                   [loop_grid(mean, LABEL, note), seeds_grid(loops, LABEL)])  # fmt: skip
