"""The YAML reader: values, defaults, traps, and every problem with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nibblefit.errors import InputError
from nibblefit_maxim.layers import Activation, Eltwise, Operator
from nibblefit_maxim.parts import MAX78000, MAX78002, Part
from nibblefit_maxim.reading.checkpoint import LayerParameters
from nibblefit_maxim.reading.entries import NetworkEntry, read_entries
from nibblefit_maxim.reading.network import build_network
from nibblefit_maxim.reading.problems import Problems
from nibblefit_maxim.reading.yaml_text import parse, scalar

HEAD = "arch: a\ndataset: b\nlayers:\n"


def read(layers: str, part: Part = MAX78000, head: str = HEAD) -> NetworkEntry:
    """Parse layers written one per line, comma separated."""
    lines = "".join(f"  - {{{line}}}\n" for line in layers.strip().splitlines())
    return read_entries(head + lines, "net.yaml", part)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0x2000", 8192), ("1_000", 1000), ("-3", -3), ("2.5", 2.5), ("yes", True), ("off", False),
        ("~", None), ("None", "None"), ("3x3", "3x3"), ("inf", "inf"), ("1e2", 100.0),
    ],
)  # fmt: skip
def test_scalars_are_read_as_yaml_1_1(text: str, value: object) -> None:
    """Hexadecimal numbers, underscores and flags mean what the compiler takes them for."""
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_defaults_are_the_compilers() -> None:
    """Convolutions pad by one, 2-D kernels are 3×3, no activation, 8-bit output."""
    (entry,) = read("processors: 1").layers
    assert (entry.operator, entry.kernel, entry.pad) == (Operator.CONV2D, (3, 3), 1)
    assert entry.activation is Activation.NONE
    assert not entry.is_wide
    assert entry.name == "layer000"


def test_aliases_name_the_same_key() -> None:
    """Every spelling of a key is understood, and only one of them at a time."""
    text = "processors: '0x0000.0000_0000.000f', operation: MLP, activation: ReLU, conv_groups: 1"
    (entry,) = read(text).layers
    assert entry.processors == 15
    assert entry.operator is Operator.LINEAR
    assert entry.activation is Activation.RELU
    with pytest.raises(InputError, match="'operator' repeats 'op'"):
        read("processors: 1, op: conv2d, operator: conv2d")


def test_element_wise_operators() -> None:
    """As an operator they need no convolution; in front of one they are a key of their own."""
    entries = read("processors: 1, op: BitwiseXor, operands: 3\nprocessors: 1, eltwise: add").layers
    assert [e.eltwise for e in entries] == [Eltwise.XOR, Eltwise.ADD]
    assert [e.operands for e in entries] == [3, 2]
    assert [e.operator for e in entries] == [Operator.PASSTHROUGH, Operator.CONV2D]


BAD: dict[str, str] = {
    "processors: 0": "at least one of 64 bits",
    "processors: 'zz'": "64-bit map",
    "processors: 1, pad: true": "expected an integer",
    "processors: 1, pad: 3": "expected 0 to 2",
    "processors: 1, out_offset: 2": "multiple of 4",
    "processors: 1, max_pool: [1, 2, 3]": "one integer or two",
    "processors: 1, max_pool: 17": "expected 1 to 16",
    "processors: 1, kernel_size: big": "size such as 3x3",
    "processors: 1, kernel_size: 3x1": "use 1x1 or 3x3",
    "processors: 1, op: conv1d, kernel_size: 10": "1 to 9",
    "processors: 1, op: convtranspose2d, kernel_size: 1x1, pad: 0": "transposed: 3x3",
    "processors: 1, op: linear, kernel_size: 1x1": "no meaning",
    "processors: 1, op: pool": "expected one of",
    "processors: 1, quantization: 3": "1, 2, 4, 8 or binary",
    "processors: 1, quantization: binary": "no binary weights",
    "processors: 1, output_width: 16": "8 or 32",
    "processors: 1, in_sequences: [1.5]": "layer numbers or names",
    "processors: 1, in_sequences: []": "at least one layer",
    "processors: 1, bias_group: 4": "quadrants 0 to 3",
    "processors: 1, dilation: 2": "cannot be dilated",
    "processors: 1, stride: 2": "stride 1 only",
    "processors: 1, groups: 2": "no grouped convolution",
    "processors: 1, pool_dilation: 2, max_pool: 2": "no pooling dilation",
    "processors: 1, max_pool: 2, pool_stride: [1, 2]": "must be equal",
    "processors: 1, pool_first: false": "needs operands and pooling",
    "processors: 1, op: add, operands: 3, max_pool: 2, pool_first: false": "at most 2 operands",
    "processors: 1, op: none, activate: relu": "neither activation",
    "processors: 1, op: none, output_width: 32": "neither activation",
    "processors: 1, op: conv1d, eltwise: add": "cannot stand in front",
    "processors: 1, read_gap: 1": "must be 0",
    "processors: 1, buffer_shift: 1": "only a passthrough can shift",
    "processors: 1, op: none, buffer_shift: 1": "in_sequences must name the buffer",
    "processors: 1, buffer_insert: 1": "out_offset must say where",
    "processors: 1, in_crop: [0, 2]": "with one 0 in it",
    "processors: 1, bypass: true": "does not exist on the MAX78000",
    "processors: 1, next_sequence: [1]": "layer's number or name",
    "processors: 1, op: {a: 1}": "not a mapping",
    "processors: 1, out_offset: 0x20004": "allows up to",
    "processors: 1, pad: 1, kernel_size: 1x1": "smaller than the kernel",
}


@pytest.mark.parametrize("layer", BAD)
def test_bad_value_is_refused_with_line_and_expectation(layer: str) -> None:
    """Every bad value names the file's line and what was expected."""
    with pytest.raises(InputError) as error:
        read(layer)
    assert "net.yaml:4" in str(error.value)
    assert BAD[layer] in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected keys such as"),
        ("- 1", "expected keys such as"),
        ("a: [", "not readable as YAML"),
        ("arch: a\n\tb: c", "not readable as YAML"),
        ("arch: a\narch: b\ndataset: c\nlayers: [{processors: 1}]", "twice, first in line 1"),
        ("arch: a\ndataset: c\nlayers: 3", "must be a list"),
        ("arch: a\ndataset: c\nlayers: []", "must be a list"),
        ("arch: a\ndataset: c\nlayers: [3]", "not a mapping"),
        ("arch: a\ndataset: c\nlayers: [{processors: 1}]\nsnoop: 1", "does not exist"),
        ("arch: a\ndataset: c\nlayers: [{processors: 1}]\noutput_map: 0", "output_map"),
        ("arch: a\ndataset: c\nlayers: &x [{processors: 1}, *x]", "aliases"),
        ("arch: a\ndataset: c\nlayers: [{processors: 1, pad: 1, pad: 2}]", "stands twice"),
    ],
)  # fmt: skip
def test_malformed_file_is_refused(text: str, words: str) -> None:
    """Whatever is wrong with the text, the user gets one clear error."""
    with pytest.raises(InputError, match=r"net\.yaml") as error:
        read_entries(text, "net.yaml", MAX78000)
    assert words in str(error.value)


def test_all_problems_come_together() -> None:
    """Three problems on three lines are reported at once."""
    with pytest.raises(InputError, match="3 problems") as error:
        read("processors: 1, padd: 1\nprocessors: 1, pad: 9\nprocessors: 0")
    for line in ("net.yaml:4", "net.yaml:5", "net.yaml:6"):
        assert line in str(error.value)


def test_names_are_unique_and_not_reserved() -> None:
    """`input` and `stop` have a meaning of their own; case does not count."""
    with pytest.raises(InputError, match="reserved"):
        read("processors: 1, name: Stop")
    with pytest.raises(InputError, match="already names layer 0"):
        read("processors: 1, name: a\nprocessors: 1, name: A")


def test_pad_omitted_in_one_and_two_dimensions_is_refused() -> None:
    """The compiler silently pads one axis only; the file must say what it means."""
    with pytest.raises(InputError, match="both omit 'pad'"):
        read("processors: 1, op: conv1d\nprocessors: 1, op: conv2d")
    assert read("processors: 1, op: conv1d, pad: 1\nprocessors: 1, op: conv2d")


def test_more_layers_than_the_part_has() -> None:
    """32 layers on the MAX78000, 128 on the MAX78002."""
    many = "processors: 1\n" * 33
    with pytest.raises(InputError, match="33 layers"):
        read(many)
    assert len(read(many, MAX78002).layers) == 33


def test_problem_without_a_line_names_the_file() -> None:
    """Problems of the file as a whole have no line."""
    problems = Problems("f.yaml")
    problems.raise_if_any()
    problems.add(0, "shape", "something")
    with pytest.raises(InputError, match=r"f\.yaml: something"):
        problems.raise_if_any()


def test_plain_returns_nested_values() -> None:
    """Nested mappings and lists come out as plain Python."""
    value = parse("a: [1, {b: 'x y'}]", Problems("f"))
    assert value.plain() == {"a": [1, {"b": "x y"}]}


def build(layers: str, *weights: tuple[int, ...], shape: tuple[int, ...] = (3, 8, 8),
          part: Part = MAX78000, **keys: object) -> object:  # fmt: skip
    """Resolve a file with all-one weights of the given shapes."""
    parameters = [LayerParameters(f"w{i}", np.ones(s), None, 8, 0) for i, s in enumerate(weights)]
    return build_network(read(layers, part), parameters, shape, part, **keys)  # type: ignore[arg-type]


UNRESOLVED: dict[str, tuple[str, tuple[int, ...], str]] = {
    "no such layer": ("processors: 7, in_sequences: 3", (4, 3, 3, 3), "names 3, not a layer"),
    "flatten missing": ("processors: 7, op: linear", (4, 192), "'flatten: true' is missing"),
    "operands": ("processors: 7, op: add, operands: 2", (), "cannot be split"),
    "sequences": (
        (
            "processors: 7, op: none\n"
            "processors: 7, op: add, operands: 3, in_sequences: [0, input]"
        ),
        (),
        "3 operands, but 2",
    ),
    "cropping": ("processors: 7, in_dim: [4, 4]", (4, 3, 3, 3), "has 16 positions"),
    "in_channels": ("processors: 3, in_channels: 4", (4, 4, 3, 3), "the data has 3"),
    "features": (
        "processors: 7, op: linear, flatten: true, in_channels: 3", (4, 192), "192 features arrive"
    ),
    "crop": ("processors: 7, in_crop: [4, 4]", (4, 3, 3, 3), "takes 4 and 4 rows of 8"),
    "skip": ("processors: 7, in_channel_skip: 3", (4, 3, 3, 3), "reads 0 channels"),
    "part of a concatenation": (
        ("processors: 7, op: none, out_offset: 0x4000\n"
        "processors: 7, in_channels: 4, in_sequences: [0, 0]"), (4, 6, 3, 3), "is read whole",
    ),
    "output map": ("processors: 7, output_processors: 7", (4, 3, 3, 3), "need 4 processors"),
    "bias group": ("processors: 7, bias_group: 2, out_offset: 0x4000", (4, 3, 3, 3), "not used"),
    "input size": ("processors: 7, in_offset: 0x7f80, out_offset: 0", (4, 3, 3, 3), "input ends"),
    "overwrite": ("processors: 7", (4, 3, 3, 3), "overwrites"),
    "too deep a pool": ("processors: 7, max_pool: 9", (4, 3, 3, 3), "no window fits"),
}  # fmt: skip


@pytest.mark.parametrize("what", UNRESOLVED)
def test_network_that_cannot_be_followed_is_refused(what: str) -> None:
    """Shapes, sequences and placements that do not fit name the layer."""
    layers, weights, words = UNRESOLVED[what]
    with pytest.raises(InputError) as error:
        build(layers, *([weights] if weights else []))
    assert words in str(error.value)


def test_streaming_rules() -> None:
    """At most eight leading layers stream."""
    line = "processors: 1, pad: 1, kernel_size: 3x3, streaming: true, out_offset: 0x2000"
    layers = "\n".join([line] * 9)
    with pytest.raises(InputError, match="9 streaming layers"):
        build(layers, *[(1, 1, 3, 3)] * 9, shape=(1, 8, 8), fifo=True)


def test_outputs_that_are_marked_come_first() -> None:
    """A layer marked `output` is an output beside the last one."""
    layers = (
        "processors: 7, output: true, out_offset: 0x4000\n"
        "processors: 15, out_offset: 0, pad: 0, kernel_size: 1x1"
    )
    graph = build(layers, (4, 3, 3, 3), (2, 4, 1, 1))
    assert graph.outputs == ("layer000", "layer001")


def test_one_dimensional_data_is_reshaped_for_two_dimensions() -> None:
    """Without in_dim the second axis is one; with it the positions are laid out again."""
    layers = (
        "processors: 7, op: conv1d, kernel_size: 1, pad: 0, out_offset: 0x4000\n"
        "processors: 15, in_dim: [4, 4], pad: 1, out_offset: 0"
    )
    graph = build(layers, (4, 3, 1), (2, 4, 3, 3), shape=(3, 16))
    assert graph.tensors["layer001"].shape == (2, 4, 4)
    plain = build("processors: 7, pad: 0, kernel_size: 1x1, out_offset: 0x4000", (4, 3, 1, 1),
                  shape=(3, 16))  # fmt: skip
    assert plain.tensors["layer000"].shape == (4, 16, 1)


def test_sequences_by_name(tmp_path: Path) -> None:
    """Layers may be named instead of numbered."""
    layers = (
        "processors: 7, op: none, name: First, out_offset: 0x2000, output_processors: 7\n"
        "processors: 7, op: none, in_sequences: first, out_offset: 0x4000"
    )
    graph = build(layers)
    assert graph.node("layer001").inputs == ("First",)
