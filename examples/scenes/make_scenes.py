"""Compose scenes to segment: plates with handwritten digits over photographs.

    python make_scenes.py MNIST_FOLDER OUT [--training 2000] [--test 300] [--size 96] [--seed 1]

MNIST_FOLDER holds the four IDX files of MNIST, gzip or not. The photographs are the two that come
with scikit-learn (china.jpg, flower.jpg). Each scene is a piece of a photograph with one to three
round plates on it, in random sizes, places and colours, and a digit on each plate; the mask says
for every pixel whether it is background (0) or on the plate of which digit (1 … 10 for 0 … 9).
Digits of the test scenes come from MNIST's test files, and their backgrounds from the right-hand
third of the photographs, which training never sees.
The result has Pascal VOC's layout: read it with data.source = "voc", targets = "masks".
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from nibblefit.data.idx import read_idx

#: Smallest and largest plate, as a share of the scene's side.
SIZES = (0.3, 0.55)
MOST_PLATES = 3


def main() -> None:
    """Write the data set."""
    options = arguments()
    photographs = [np.asarray(picture) for picture in load_sample_images().images]
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (options.out / folder).mkdir(parents=True, exist_ok=True)
    (options.out / "labels.txt").write_text("".join(f"digit {n}\n" for n in range(10)))
    for split, prefix, count in (
        ("train", "train", options.training), ("test", "t10k", options.test),
    ):  # fmt: skip
        digits = found(options.mnist, f"{prefix}-images")
        labels = found(options.mnist, f"{prefix}-labels")
        names = []
        for number in range(count):
            generator = np.random.default_rng([options.seed, split == "test", number])
            ground = background(photographs, options.size, split, generator)
            picture, mask = compose(ground, digits, labels, generator)
            names.append(f"{split}{number:05d}")
            Image.fromarray(picture).save(options.out / f"JPEGImages/{names[-1]}.png")
            Image.fromarray(mask).save(options.out / f"SegmentationClass/{names[-1]}.png")
        text = "".join(f"{name}\n" for name in names)
        (options.out / f"ImageSets/Segmentation/{split}.txt").write_text(text)
    print(f"{options.training} training and {options.test} test scenes in {options.out}")


def arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description="Compose scenes of digits over photographs.")
    parser.add_argument("mnist", type=Path, help="folder of the IDX files")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--training", type=int, default=2000, help="number of training scenes")
    parser.add_argument("--test", type=int, default=300, help="number of test scenes")
    parser.add_argument("--size", type=int, default=96, help="side of a scene in pixels")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def found(folder: Path, stem: str) -> np.ndarray:
    """Return the array of the IDX file whose name begins so."""
    files = sorted(folder.glob(f"{stem}*"))
    if not files:
        raise SystemExit(f"{folder} has no file {stem}*; it should hold the IDX files of MNIST")
    return read_idx(files[0])


def background(
    photographs: list[np.ndarray], side: int, split: str, generator: np.random.Generator
) -> np.ndarray:
    """Cut a square out of a photograph and resize it to the scene's size."""
    photograph = photographs[generator.integers(len(photographs))]
    border = 2 * photograph.shape[1] // 3
    own = photograph[:, border:] if split == "test" else photograph[:, :border]
    height, width = own.shape[:2]
    size = int(generator.integers(side, min(height, width) + 1))
    y, x = generator.integers(0, height - size + 1), generator.integers(0, width - size + 1)
    piece = Image.fromarray(own[y : y + size, x : x + size])
    return np.asarray(piece.resize((side, side), Image.Resampling.BILINEAR), np.float64)


def compose(
    ground: np.ndarray, digits: np.ndarray, labels: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paint one to three plates with digits side by side over a background."""
    side = len(ground)
    picture, mask = ground.copy(), np.zeros((side, side), np.uint8)
    for _ in range(generator.integers(1, MOST_PLATES + 1)):
        chosen = generator.integers(len(digits))
        size = int(generator.uniform(*SIZES) * side)
        y, x = generator.integers(0, side - size + 1, 2)
        place = (slice(y, y + size), slice(x, x + size))
        if mask[place].any():
            continue  # a hidden digit could not be told
        dark, light = generator.uniform(0, 100, 3), generator.uniform(155, 255, 3)
        ink, plate = (dark, light) if generator.integers(2) else (light, dark)
        digit = Image.fromarray(digits[chosen]).resize((size, size), Image.Resampling.BILINEAR)
        opaque = np.asarray(digit, np.float64)[..., None] / 255
        painted = plate + opaque * (ink - plate)
        reach = (np.arange(size) + 0.5) / size - 0.5
        disc = np.hypot(reach[:, None], reach[None, :]) <= 0.5
        picture[place][disc] = painted[disc]
        mask[place][disc] = labels[chosen] + 1
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), mask


if __name__ == "__main__":
    main()
