"""bias_corr.pth: a dictionary of lists, read without running anything."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.vitis.xir.networks import convolutions
from tests.vitis.xir.vendor import prepared

from nibblefit.errors import InputError
from nibblefit_vitis.writing.bias_corrections import corrections_bytes, read_corrections


def file_of(body: object) -> bytes:
    """Return a torch file."""
    stream = io.BytesIO()
    torch.save(body, stream)
    return stream.getvalue()


def test_recorded_corrections_survive_the_file(shared: Path) -> None:
    """The recorded numbers, through our names and our file, are in it under the original's."""
    folder = shared / "vendor/vitis"
    graph = prepared(folder)
    path = folder / "case_small/dpu_default/bias_corr.json"
    recorded = json.loads(path.read_text(encoding="utf-8"))
    found = read_corrections(file_of(recorded), graph)
    assert len(found) == len(recorded) == 6
    body = torch.load(io.BytesIO(corrections_bytes(graph, found)), weights_only=True)
    assert body == recorded


def test_equal_corrections_give_equal_bytes() -> None:
    """Nothing of time or place goes in."""
    graph = convolutions()
    corrections = {"plain.bias": np.arange(6.0)}
    assert corrections_bytes(graph, corrections) == corrections_bytes(graph, corrections)


def test_layers_without_a_correction_may_be_null() -> None:
    """The original writes null for layers that it left alone."""
    graph = convolutions()
    content = file_of({"Net::nndct_conv2d_1": None, "Other::nndct_conv2d_6": [0.5] * 4})
    found = read_corrections(content, graph)
    assert set(found) == {"dilated.bias"}
    np.testing.assert_array_equal(found["dilated.bias"], [0.5] * 4)


class Trap:
    """Something that a bare unpickler would call."""

    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("called",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read"),
        (b"PK\x03\x04", "cannot be read"),
        (file_of(Trap()), "cannot be read"),
        (file_of([1, 2]), "no dictionary"),
        (file_of({"Net::nndct_relu_2": [0.0]}), "does not have"),
        (file_of({"Net::nndct_conv2d_9": [0.0]}), "does not have"),
        (file_of({"Net::nndct_conv2d_1": [0.0, 1.0]}), "expected"),
        (file_of({"Net::nndct_conv2d_1": ["a"] * 6}), "no numbers"),
        (file_of({"Net::nndct_conv2d_1": [float("nan")] * 6}), "finite"),
    ],
)  # fmt: skip
def test_foreign_or_harmful_files_are_refused(
    content: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says why, and nothing in the file was called."""
    with pytest.raises(InputError, match=words):
        read_corrections(content, convolutions())
    assert "called" not in capsys.readouterr().out
