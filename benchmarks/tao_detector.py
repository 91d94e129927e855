"""A narrow SSD-ResNet-18 on blood cells: trained, pruned at two ratios, retrained, in INT8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.section import Section
from benchmarks.tao_loop import check, loop_grid, looped, means, seeds_grid

RECIPE = "tao_bccd.toml"
METRIC, LABEL = "map50", "mAP@0.5"
#: Least precision of the unpruned network, and largest loss of the one retrained at 0.22.
FLOOR, DROP = 0.6, 0.02


def measure(data: Path, seeds: Sequence[int] = (1, 2, 3)) -> Section:
    """Run the loop once per seed.

    Args:
        data: Folder of the data set, in VOC's layout.
        seeds: Seeds of the runs.

    Raises:
        LimitMissedError: The mean misses a limit, or engine and judge were not compared.
    """
    loops = {seed: looped(RECIPE, data, seed, METRIC) for seed in seeds}
    mean = means(list(loops.values()))
    check("tao_detector", mean, FLOOR, DROP)
    compared = sum(loop.compared for loop in loops.values())
    note = (
        "`benchmarks/recipes/tao_bccd.toml`: SSD-ResNet-18 of a quarter of the width at 256 × 192 "
        "pixels. Trained with L1 on the 205 pictures of the list train (a tenth of them chooses "
        "the epoch), mean average precision at an overlap of 0.5 on the 159 of val and test; means "
        f"of {len(seeds)} seeds. The weight of L1, the epochs and the least number of filters were "
        "chosen without these pictures: trained on three quarters of the list train and judged on "
        "the rest, with two other seeds. With a weight of 3e-5 the median norm of a layer was "
        "about nine tenths of its largest there, and chance decided which filters stayed. "
        "Thresholds are solved for the ratio; both ratios share "
        "one training. Weights: float32, and as stored in the integer graph. A negative drop is a "
        "gain: retraining goes on training. Time: the step and its evaluation, on one thread; "
        f"other work shared the machine. Engine and judge agreed on all {compared:,} integers "
        f"compared. A mean below {FLOOR}, more parameters than the ratio, or a loss of more than "
        f"{100 * DROP:.0f} points after retraining at 0.22 fails the run."
    )
    return Section("tao_detector", "SSD-ResNet-18 on blood cells (TAO)", "make results",
                   [loop_grid(mean, LABEL, note), seeds_grid(loops, LABEL)])  # fmt: skip
