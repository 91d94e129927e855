"""The parts of a spec that say what pictures are trained on, in the recipe's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nibblefit_tao.specs.conversion.taking import Taking

Table = dict[str, Any]
#: Means that TAO subtracts where the spec names none, blue first, and of gray pictures.
_MEANS = {"b": 103.939, "g": 116.779, "r": 123.68}
_GREY = 117.3786
#: Full scale is 256 here; these make of 255 what TAO makes of it: 255, 1 and 1.
_BYTES, _UNIT, _SIGNED = [0.0, 256.0], [0.0, 256 / 255], [-1.0, 256 / 127.5 - 1]


def kitti(taking: Taking, classes: Mapping[str, str], shape: Sequence[int],
          notes: list[str]) -> Table:  # fmt: skip
    """Return ``[data]`` of a detection spec, without its scaling.

    Args:
        taking: The spec.
        classes: Type in the labels → class.
        shape: Channels, height and width.
        notes: Is added to.
    """
    channels, *size = shape
    options: Table = {"size": list(size), "gray": channels == 1, "classes": dict(classes)}
    options["include_difficult"] = taking.flag("dataset_config.include_difficult_in_training")
    taking.get("dataset_config.type", "")
    if folders := _folders(taking, "data_sources", notes):
        options["images"], options["labels"] = folders
    if folders := _folders(taking, "validation_data_sources", notes):
        for split in ("validation", "test"):
            options[f"{split}_images"], options[f"{split}_labels"] = folders
        notes.append("the validation pictures choose the epoch and are the test too, as in TAO: "
                     "name others in data.options.test_images for an unbiased figure")  # fmt: skip
    else:
        notes.append("validation and test pictures are shares of the training ones: "
                     "data.validation and data.test")  # fmt: skip
    return {"source": "kitti", "path": ".", "options": options,
            "augment": _augment(taking, channels, notes)}  # fmt: skip


def _folders(taking: Taking, field: str, notes: list[str]) -> tuple[str, str] | None:
    """Return the folders of pictures and labels of the first data source."""
    path = f"dataset_config.{field}"
    sources = taking.get(path, [])
    if not sources:
        return None
    line = f"line {taking.spec.lines[path]}: {path}"
    if len(sources) > 1:
        notes.append(f"{line}: of {len(sources)} the first is read: join their folders")
    if "tfrecords_path" in sources[0]:
        notes.append(f"{line} names tfrecords: give the folders of pictures and KITTI labels")
    root = sources[0].get("root_path", "").rstrip("/")
    names = (sources[0].get("image_directory_path", "images"),
             sources[0].get("label_directory_path", "labels"))  # fmt: skip
    first, second = (name if not root or name.startswith("/") else f"{root}/{name}"
                     for name in names)  # fmt: skip
    return first, second


def _augment(taking: Taking, channels: int, notes: list[str]) -> Table:
    """Return SSD's flips and colours: amounts on 0 … 255, shares, hue in OpenCV's half degrees."""
    at = "augmentation_config"
    flips = taking.get(f"{at}.random_flip", 0.0) or taking.get(
        f"{at}.spatial_augmentation.hflip_probability", 0.0
    )
    if flips not in (0.0, 0.5):
        notes.append(f"half of the pictures are mirrored here, {flips:g} of them in TAO")
    found: Table = {"flip": flips > 0}
    most = {"brightness": 255.0, "contrast": 0.99, "saturation": 1.0, "hue": 90.0}
    for key in ("brightness", "contrast", "saturation", "hue")[: 4 if channels == 3 else 2]:
        value = float(taking.get(f"{at}.{key}", 0.0))
        if value < 0:
            raise taking.spec.wrong(f"{at}.{key}", f"is {value:g}; expected 0 or more")
        if value:
            found[key] = min(value, most[key]) * (2 if key == "hue" else 1)
    return found


def means(taking: Taking, dotted: str, channels: int) -> Table:
    """Return the scaling of SSD and ``caffe``: means, red first, off 0 … 255; TAO's blue first."""
    given = taking.get(dotted, {})
    if channels == 1:
        return {"range": _BYTES, "mean": [float(given.get("l", _GREY))]}
    return {
        "range": _BYTES,
        "mean": [float(given.get(key, _MEANS[key])) for key in ("r", "g", "b")],
    }


def unit_scaling() -> Table:
    """Return DetectNet_v2's scaling: 0 … 1."""
    return {"range": _UNIT}


def preprocessing(mode: str, channels: int) -> Table | None:
    """Return the scaling of modes ``torch`` (ImageNet's statistics) and ``tf``; None: another."""
    if mode == "tf":
        return {"range": _SIGNED}
    if mode == "torch" and channels == 3:
        return {"range": _UNIT, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    if mode == "torch":
        return {"range": _UNIT, "mean": [0.449], "std": [0.226]}
    return None
