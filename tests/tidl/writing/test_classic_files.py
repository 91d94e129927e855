"""The classic folder: Caffe files, configuration, frames, README, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.tidl.networks import classifier, samples
from tests.tidl.writing.benches import compiled, prepared, zeros

from nibblefit.data.source import Split
from nibblefit.errors import InputError, RecipeError
from nibblefit.fixed.quantize import quantize
from nibblefit.quantization.fold import fold
from nibblefit.runner.artifact import check_files, check_read_back
from nibblefit_tidl.caffe.entry import import_caffe
from nibblefit_tidl.classic.merging import merged_layers
from nibblefit_tidl.classic.numerics import numerics_of
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.classic.quantize import quantize_network
from nibblefit_tidl.configuration.classic import read_classic
from nibblefit_tidl.devices import classic_device_named
from nibblefit_tidl.latency.placement import placement
from nibblefit_tidl.writing.classic_config import group_ids
from nibblefit_tidl.writing.classic_files import write_classic
from nibblefit_tidl.writing.classic_read_back import read_classic_back, read_ranges


def test_every_file_is_there_and_registered() -> None:
    """The artifact lists what lies in the folder, with its digests."""
    made = compiled("tidl-classic")
    assert [str(file.path) for file in made.artifact.files] == [
        "net.prototxt", "net.caffemodel", "import.txt", "frames.y", "ranges.json", "README.md",
    ]  # fmt: skip
    check_files(made.artifact, made.folder, "tidl-classic")
    assert made.artifact.notes["command"] == "tidl_model_import.out import.txt"


def test_the_configuration_says_what_was_quantized() -> None:
    """Bits, rounding, element type, scale and sizes are those of the integers."""
    made = compiled("tidl-classic", {"parameter_bits": 10, "round_add": 25, "kernel": "sparse"})
    config = read_classic(made.folder / "import.txt")
    assert (config.num_param_bits, config.quant_round_add) == (10, 25)
    assert config.conv2d_kernel_type == (0,)
    assert (config.in_num_channels, config.in_height, config.in_width) == (3, 12, 12)
    form = made.graph.tensors[made.graph.inputs[0]].format
    assert config.in_element_type == form.signed
    assert config.in_quant_factor == round(255 / form.scale.values()[0])


def test_kernels_by_layer_become_a_list_over_the_importer_s_rows() -> None:
    """One value per row, data layers at both ends; layers left out are automatic."""
    made = compiled("tidl-classic", {"kernel": {"a": "sparse", "b": "dense"}})
    layers = merged_layers(fold(made.network))
    found = read_classic(made.folder / "import.txt").conv2d_kernel_type
    expected = {"a": 0, "b": 1}
    assert found == (-1, *(expected.get(layer.name, -1) for layer in layers), -1)
    assert f"should have {len(layers) + 2} rows" in made.read("README.md")


@pytest.mark.parametrize("part", ["am5749", "tda3x"])
def test_layers_are_placed_where_they_are_fastest(part: str) -> None:
    """One group per row of the importer's table, those of the estimated best placement."""
    made = compiled("tidl-classic", part=part)
    config = read_classic(made.folder / "import.txt")
    best = placement(made.network, part)
    assert config.layers_group_id == best.group_ids
    rows = len(merged_layers(fold(made.network)))
    assert len(config.layers_group_id) == rows + 2
    for cores, group in (("eve", 1), ("dsp", 2)):
        alone = compiled("tidl-classic", {"cores": cores}, part=part)
        found = read_classic(alone.folder / "import.txt").layers_group_id
        assert found == (0, *(group,) * rows, 0)
        words = (
            f"Here {rows * (group == 1)}\nlayers are on EVE and {rows * (group == 2)} on the DSP"
        )
        assert words in alone.read("README.md")
    none = replace(classic_device_named(part), eves=0)
    with pytest.raises(RecipeError, match="has no EVE"):
        group_ids(made.network, none, ClassicOptions(cores="eve"))


def test_the_frames_are_training_samples() -> None:
    """Raw codes, planar, one byte a value, each of them of a sample of the training split."""
    made = compiled("tidl-classic")
    raw = np.frombuffer((made.folder / "frames.y").read_bytes(), np.int8)
    frames = raw.reshape(-1, 3, 12, 12).astype(np.int64)
    assert len(frames) == read_classic(made.folder / "import.txt").num_sample_in_data == 16
    form = made.graph.tensors[made.graph.inputs[0]].format
    data = made.run.data.split(Split.TRAIN)
    rounding = numerics_of(ClassicOptions()).inputs.rounding
    codes = {quantize(data[i][0].astype(np.float64), form, rounding).tobytes()
             for i in range(len(data))}  # fmt: skip
    assert all(frame.tobytes() in codes for frame in frames)


def test_zeros_of_the_caffemodel_are_zeros_of_the_mask() -> None:
    """Folding and writing lose no zero and make none."""
    made = compiled("tidl-classic")
    written = import_caffe(made.folder / "net.prototxt", made.folder / "net.caffemodel").graph
    for name in ("stem", "a", "b"):
        before = made.network.constants[f"{name}.weight"]
        after = written.constants[written.node(name).inputs[1]]
        assert zeros(before) > 100
        assert bool(np.all((before == 0) == (after == 0))), name


@pytest.mark.parametrize("bits", [4, 8, 12])
@pytest.mark.parametrize("options", [{}, {"frames": "video"}, {"round_add": 25}])
def test_the_files_give_the_same_integers(bits: int, options: dict[str, Any]) -> None:
    """Read back, network and configuration decide every code again."""
    made = compiled("tidl-classic", {"parameter_bits": bits, **options})
    check_read_back(made.graph, read_classic_back(made.run, made.artifact), "tidl-classic", 3)


def test_read_back_takes_bits_from_the_configuration() -> None:
    """Another width in the file is another graph: nothing is remembered on the side."""
    made = compiled("tidl-classic")
    path = made.folder / "import.txt"
    path.write_text(path.read_text().replace("numParamBits = 8", "numParamBits = 5"))
    back = read_classic_back(made.run, made.artifact)
    expected = quantize_network(made.network, ClassicOptions(parameter_bits=5),
                                [samples(made.network, 16)])[0]  # fmt: skip
    assert bool(np.all(back.constants["a.weight"] == expected.constants["a.weight"]))
    assert back.tensors["a.weight"].format.bits == 5


def test_damaged_files_are_refused() -> None:
    """A missing file, a lost range and broken JSON end in one sentence each."""
    made = compiled("tidl-classic")
    ranges = made.folder / "ranges.json"
    values = json.loads(ranges.read_text())
    ranges.write_text(json.dumps({name: pair for name, pair in values.items() if name != "head"}))
    with pytest.raises(InputError, match="no range of tensor 'head'"):
        read_classic_back(made.run, made.artifact)
    for text, words in (
        ("{", "ranges.json:1: not readable as JSON"),
        ("[1]", "no pair"),
        ('{"a": [2, 1]}', "'a' is no pair"),
        ('{"a": [1, NaN]}', "no pair"),
    ):
        ranges.write_text(text)
        with pytest.raises(InputError, match=words):
            read_ranges(ranges)
    (made.folder / "net.caffemodel").unlink()
    with pytest.raises(InputError, match="the caffemodel file is missing"):
        read_classic_back(made.run, made.artifact)


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({}, (0, 0, 0)),
        ({"frames": "video"}, (20, 5, 0)),
        ({"frames": "video", "history": 7, "margin": 3}, (20, 7, 3)),
    ],
)
def test_the_readme_tells_the_run_time_settings(
    options: dict[str, Any], values: tuple[int, int, int]
) -> None:
    """What the application must set is what was evaluated; the board's troubles are named."""
    text = compiled("tidl-classic", options, part="am5729").read("README.md")
    keys = ("quantHistoryParam1", "quantHistoryParam2", "quantMargin")
    for key, value in zip(keys, values, strict=True):
        assert f"`{key}` = {value}" in text
    for words in ("CMEM", "224 to 256 MiB", "malloc_ddr", "ti-mct-daemon", "Num of Layer Detected"):
        assert words in text


def test_softmax_is_sent_to_the_dsp() -> None:
    """A layer that EVE computes slowly is named."""
    from tests.tidl.networks import Net

    from nibblefit.ir.ops import Op

    net = Net((3, 8, 8))
    head = net.linear(net.relu(net.conv(net.x, 4, "c")), 5, "fc")
    network = net.finish(net.add(Op.SOFTMAX, [head], "scores", axis=1))
    assert "`scores`: place it there" in compiled("tidl-classic", network=network).read("README.md")


def test_no_calibration_frame_and_no_float_network_are_refused() -> None:
    """An empty list of frames, and a run without the model behind the integers."""
    run, network, graph = prepared("tidl-classic")
    run.data._parts[Split.TRAIN].inputs = np.zeros((0, 3, 12, 12), np.float32)
    with pytest.raises(InputError, match="list of calibration frames would be empty"):
        write_classic(run, graph)
    with pytest.raises(InputError, match="float network behind the integers is not at hand"):
        write_classic(replace(run, reference=None), graph)
    assert network.name == classifier().name
