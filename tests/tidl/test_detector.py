"""A detector from boxes to files: the example's recipe on drawn cells, on a handful of samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import nibblefit
from nibblefit.results import Status

#: Radii in pixels of the three kinds of cell.
RADII = {"Platelets": 4, "RBC": 10, "WBC": 20}
HEIGHT, WIDTH = 64, 96
SHORT: dict[str, Any] = {
    "data.options.size": [HEIGHT, WIDTH], "data.augment.shift": 6,
    "model.arguments.width": 8, "task.options.sizes": [[8, 12], [20, 32], [40, 52]],
    "train.batch_size": 4, "train.initial.epochs": 1, "train.l1.epochs": 1,
    "train.sparse.epochs": 2, "target.sparsity.target": 0.3,
    # Weights that have not been trained down are still too large for the usual limit.
    "target.sparsity.threshold_maxratio": 0.9, "quantize.calibration_samples": 4,
    "evaluate.floor": 0.0, "evaluate.max_drop": 1.0, "run.threads": 1,
}  # fmt: skip


def annotation(boxes: list[tuple[str, int, int, int, int]]) -> str:
    """Return the XML of a picture; VOC counts pixels from 1."""
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for name, left, top, right, bottom in boxes
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
    return f"<annotation>{size}{objects}</annotation>"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with pictures of discs in VOC's layout."""
    folder = tmp_path_factory.mktemp("cells")
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(1)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    names = [f"cell{number:02d}" for number in range(16)]
    for name in names:
        picture = np.full((HEIGHT, WIDTH, 3), 220, np.uint8)
        boxes = []
        for kind, radius in RADII.items():
            y, x = (int(random.integers(radius, side - radius)) for side in (HEIGHT, WIDTH))
            picture[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = 40 * radius % 200
            boxes.append((kind, x - radius, y - radius, x + radius, y + radius))
        Image.fromarray(picture).save(folder / f"JPEGImages/{name}.png")
        (folder / f"Annotations/{name}.xml").write_text(annotation(boxes))
    for split, own in (("train", names[:10]), ("val", names[10:13]), ("test", names[13:])):
        (folder / f"ImageSets/Main/{split}.txt").write_text("\n".join(own))
    return folder


def test_detector_goes_from_boxes_to_files(root: Path, cells: Path, tmp_path: Path) -> None:
    """Three stages, exact integers, Caffe files; zeros of training are zeros of the integers."""
    path = root / "examples" / "cells" / "jdetnet.toml"
    recipe = nibblefit.read_recipe(path, {**SHORT, "data.path": str(cells)})
    nibblefit.run_recipe(recipe, tmp_path)
    run = nibblefit.open_run(tmp_path)
    sparse, graph = run.model("sparse"), run.graph("quantize")
    assert [graph.tensors[name].shape[0] for name in graph.outputs] == [16] * 6  # 4 × (4 or 1 + 3)
    report = run.report("evaluate")
    findings = {finding.rule: finding.status for finding in report.findings}
    assert findings["exact.engine"] is Status.PASSED
    assert "map50" in report.metrics
    assert run.report("evaluate_sparse").metrics["sparsity_of_convolutions"] > 0.1
    for weights, mask in sparse.masks.items():
        (zero,) = set(graph.tensors[weights].format.zero_point)
        assert (graph.constants[weights][~mask] == zero).all()
    assert {file.role for file in run.artifact().files} >= {"prototxt", "caffemodel", "config"}
