"""The whole YAML language: crops, parts of channels, orders, rolling buffers, shared weights."""

from __future__ import annotations

import numpy as np
import pytest

from nibblefit.engine import Engine
from nibblefit.errors import InputError
from nibblefit.ir import reference
from nibblefit_maxim.parts import MAX78000, MAX78002, Part
from nibblefit_maxim.reading.checkpoint import LayerParameters
from nibblefit_maxim.reading.entries import read_entries
from nibblefit_maxim.reading.network import build_network

HEAD = "arch: a\ndataset: b\n"
#: A 1×1 convolution with everything written out.
ONE = "op: conv2d, kernel_size: 1x1, pad: 0, "


def outputs(
    layers: str,
    x: np.ndarray,
    *parameters: LayerParameters,
    part: Part = MAX78000,
    head: str = HEAD,
) -> list[np.ndarray]:
    """Return the outputs of a file for one input; judge and engine agree on them."""
    lines = "".join(f"  - {{{line}}}\n" for line in layers.strip().splitlines())
    entry = read_entries(f"{head}layers:\n{lines}", "net.yaml", part)
    graph = build_network(entry, parameters, x.shape, part)
    inputs = {graph.inputs[0]: x[None].astype(np.int64)}
    judged = reference.run(graph, inputs).outputs
    fast = Engine(graph).run(inputs).outputs
    for name in graph.outputs:
        np.testing.assert_array_equal(judged[name], fast[name])
    return [judged[name][0] for name in graph.outputs]


def weights(*shape: int, value: float = 1, bias: float | None = None) -> LayerParameters:
    """Return weights of one value."""
    count = None if bias is None else np.full(shape[0], bias)
    return LayerParameters(f"w{shape}{value}", np.full(shape, float(value)), count, 8, 0)


def picture(*shape: int) -> np.ndarray:
    """Return different small numbers."""
    return (np.arange(int(np.prod(shape))) % 97 - 48).reshape(shape)


def rounded(accumulator: np.ndarray) -> np.ndarray:
    """Return 8-bit codes of accumulators, half toward plus infinity."""
    return np.clip(np.floor(accumulator / 128 + 0.5), -128, 127).astype(np.int64)


def test_rows_are_cropped_where_the_offset_skips_them() -> None:
    """Two rows at the top and one at the bottom are left out of five."""
    x = picture(4, 5, 3)
    (found,) = outputs(
        "processors: 0xf, op: none, out_offset: 0x2000, output_processors: 0xf\n"
        f"processors: 0xf, op: none, in_offset: {0x2000 + 4 * 2 * 3:#x}, in_crop: [2, 1], "
        "in_dim: [2, 3], out_offset: 0x4000",
        x,
    )
    np.testing.assert_array_equal(found, x[:, 2:4])


def test_crop_without_its_offset_reads_other_rows() -> None:
    """The integers would be those of the crop, but the device reads from the beginning."""
    with pytest.raises(InputError, match="reads the output of layer 0") as error:
        outputs(
            "processors: 0xf, op: none, out_offset: 0x2000, output_processors: 0xf\n"
            "processors: 0xf, op: none, in_offset: 0x2000, in_crop: [2, 1], in_dim: [2, 3], "
            "out_offset: 0x4000",
            picture(4, 5, 3),
        )
    assert "other data of layer 0 lies there" in str(error.value)


def test_one_dimensional_data_is_cropped_by_positions() -> None:
    """A sequence loses three positions at each end."""
    x = picture(4, 16)
    conv = "op: conv1d, kernel_size: 1, pad: 0, "
    one = LayerParameters("w", np.eye(4)[:, :, None] * 64, None, 8, 1)
    (found,) = outputs(
        f"processors: 0xf, {conv}out_offset: 0x2000\n"
        f"processors: 0xf, {conv}in_offset: 0x200c, in_crop: [3, 3], in_dim: 10, "
        "out_offset: 0x4000",
        x, one, one,
    )  # fmt: skip
    np.testing.assert_array_equal(found, x[:, 3:13])


def test_some_channels_are_read_where_they_lie() -> None:
    """Channels 4 to 7 of eight, on processors 4 to 7, and the warning that the compiler needs a
    flag for it.
    """
    x = picture(8, 2, 2)
    lines = (
        "processors: 0xff, op: none, out_offset: 0x2000, output_processors: 0xff\n"
        "processors: 0xf0, op: none, in_channels: 4, in_channel_skip: 4, in_offset: 0x2000, "
        "output_processors: 0xf0, out_offset: 0x4000"
    )
    (found,) = outputs(lines, x)
    np.testing.assert_array_equal(found, x[4:])
    with pytest.raises(InputError, match="was written on map"):
        outputs(lines.replace("processors: 0xf0", "processors: 0xf"), x)


def test_layers_are_sorted_by_sequence() -> None:
    """The second layer of the file runs first; weights follow the numbers."""
    x = picture(4, 2, 2)
    (found,) = outputs(
        f"sequence: 1, processors: 0xf, in_offset: 0x2000, out_offset: 0x4000, {ONE}\n"
        f"sequence: 0, processors: 0xf, out_offset: 0x2000, output_processors: 0xf, {ONE}",
        x, weights(4, 4, 1, 1, value=100), weights(4, 4, 1, 1, value=-9),
    )  # fmt: skip
    first = rounded(100 * x.sum(0, keepdims=True).repeat(4, 0))
    np.testing.assert_array_equal(found, rounded(-9 * first.sum(0, keepdims=True).repeat(4, 0)))


HOPS = (
    f"processors: 0xf, name: zero, out_offset: 0x2000, output_processors: 0xf, next_sequence: 2, "
    f"{ONE}\n"
    f"processors: 0xf, name: one, out_offset: 0x4000, next_sequence: stop, in_offset: 0x6000, "
    f"{ONE}\n"
    f"processors: 0xf, name: two, out_offset: 0x6000, output_processors: 0xf, next_sequence: One, "
    f"in_offset: 0x2000, {ONE}"
)


def test_layers_run_as_they_are_linked() -> None:
    """Zero, two, one; each with the weights of its number."""
    x = picture(4, 2, 2)
    given = [weights(4, 4, 1, 1, value=v) for v in (50, 3, -20)]
    (found,) = outputs(HOPS, x, *given, part=MAX78002)
    for factor in (50, -20, 3):
        x = rounded(factor * x.sum(0, keepdims=True).repeat(4, 0))
    np.testing.assert_array_equal(found, x)
    with pytest.raises(InputError, match="runs layers in order"):
        outputs(HOPS, x, *given)


def test_layers_that_never_run_keep_their_weights() -> None:
    """A stop after the first layer; the second one's weights are not surplus, nor executed."""
    x = picture(4, 2, 2)
    lines = (
        f"processors: 0xf, out_offset: 0x2000, output_processors: 0xf, next_sequence: stop, {ONE}\n"
        f"processors: 0xf, out_offset: 0x4000, {ONE}"
    )
    (found,) = outputs(lines, x, weights(4, 4, 1, 1, value=50), weights(4, 4, 1, 1))
    np.testing.assert_array_equal(found, rounded(50 * x.sum(0, keepdims=True).repeat(4, 0)))


def test_simulated_link_is_the_one_taken() -> None:
    """A snoop condition may make the device jump over a layer; the file says which way counts."""
    x = picture(4, 2, 2)
    lines = (
        "processors: 0xf, op: none, out_offset: 0x2000, output_processors: 0xf, "
        "snoop_sequence: 2, simulated_sequence: 2\n"
        f"processors: 0xf, out_offset: 0x4000, {ONE}\n"
        "processors: 0xf, op: none, out_offset: 0x6000, in_offset: 0x2000, output_processors: 0xf"
    )
    (found,) = outputs(lines, x, weights(4, 4, 1, 1), part=MAX78002)
    np.testing.assert_array_equal(found, x)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ("processors: 1, next_sequence: 9", "'next_sequence' names 9, no layer"),
        ("processors: 1, next_sequence: nobody", "names nobody, no layer"),
        ("processors: 1\nprocessors: 1, next_sequence: 0", "goes back to layer 0"),
        ("processors: 1\nprocessors: 1, sequence: 0", "its sequence 0 is that of layer 0"),
        ("processors: 1, name: a\nprocessors: 1, sequence: 5, in_sequences: a", "leaves numbers"),
    ],
)
def test_links_that_lead_nowhere_are_refused(layers: str, words: str) -> None:
    """Unknown layers, circles, numbers that stand twice, numbers that are left out."""
    lines = "".join(f"  - {{{line}}}\n" for line in layers.splitlines())
    with pytest.raises(InputError) as error:
        read_entries(f"{HEAD}layers:\n{lines}", "net.yaml", MAX78002)
    assert words in str(error.value)


def test_numbers_may_be_left_out_where_nobody_refers_to_them() -> None:
    """The compiler sorts and counts anew."""
    lines = "layers:\n  - {processors: 1, sequence: 7}\n  - {processors: 2, sequence: 3}\n"
    entry = read_entries(HEAD + lines, "net.yaml", MAX78000)
    assert [(layer.number, layer.processors) for layer in entry.layers] == [(0, 2), (1, 1)]


#: A buffer as YAML reads it.
ANY = {"processors": 1, "channels": 1, "dim": 4, "offset": 0, "name": "a"}
BUFFERED = (
    f"{HEAD}data_buffer: [{{processors: 0xf0, channels: 4, dim: 6, offset: 0x7000, name: tcn}}]\n"
)
SHIFT = (
    "processors: 0xf0, output_processors: 0xf0, op: none, in_offset: 0x7004, in_channels: 4, "
    "in_dim: 5, in_sequences: tcn, out_offset: 0x7000, buffer_shift: 1"
)
INSERT = (
    "processors: 0xf, output_processors: 0xf0, in_sequences: input, in_offset: 0, "
    f"out_offset: 0x7014, buffer_insert: 1, {ONE}"
)
READ = (
    "processors: 0xf0, in_offset: 0x7000, in_channels: 4, in_dim: 6, in_sequences: TCN, "
    "out_offset: 0x4000, op: conv1d, kernel_size: 1, pad: 0"
)
UNIT = np.eye(4)[:, :, None]


def test_rolling_buffer_is_shifted_and_filled() -> None:
    """Zeros, then twice a shift and an insertion: both outputs stand at the end, in order."""
    x = picture(4, 1, 1)
    given = [
        LayerParameters("a", UNIT[..., None] * 64, None, 8, 1),
        LayerParameters("b", UNIT[..., None] * -64, None, 8, 1),
        LayerParameters("c", UNIT * 64, None, 8, 1),
    ]
    lines = "\n".join((*[SHIFT, INSERT] * 2, READ))
    (found,) = outputs(lines, x, *given, head=BUFFERED)
    expected = np.zeros((4, 6), np.int64)
    expected[:, 4], expected[:, 5] = x[:, 0, 0], -x[:, 0, 0]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([SHIFT, READ], "reads the data buffer"),
        ([SHIFT.replace("0x7004", "0x7000"), INSERT, READ], "reads the data buffer"),
        ([INSERT.replace("0x7014", "0x7010"), READ], "reads the data buffer"),
        ([INSERT.replace("insert: 1", "insert: 2"), READ], "inserts 2 positions of 4 channels"),
        ([SHIFT.replace("shift: 1", "shift: 6"), READ], "shifts by 6 of 6 positions"),
        ([READ.replace("in_dim: 6, ", "")], "without in_dim"),
        ([READ.replace("0xf0", "0xf")], "reads the data buffer"),
        ([READ.replace("op: conv1d, kernel_size: 1", "op: conv2d, kernel_size: 1x1")],
         "only 1-D convolutions"),
    ],
)  # fmt: skip
def test_buffer_that_is_used_wrongly_is_refused(lines: list[str], words: str) -> None:
    """Stale positions, wrong places, wrong sizes, operators without a meaning."""
    given = [LayerParameters("a", UNIT[..., None], None, 8, 1)] * ("insert" in "".join(lines))
    given += [LayerParameters("c", UNIT, None, 8, 1)]
    if "conv2d, kernel_size: 1x1" in lines[-1]:
        given[-1] = LayerParameters("c", UNIT[..., None], None, 8, 1)
    with pytest.raises(InputError) as error:
        outputs("\n".join(lines), picture(4, 1, 1), *given, head=BUFFERED)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data_buffer: 3", "must be a list of mappings"),
        ("data_buffer: [{processors: 1}]", "'data_buffer' lacks channels, dim, name, offset"),
        ("data_buffer: [{processors: 1, channels: 1, dim: 4, offset: 0, name: a, nam: b}]",
         "unknown key 'nam' in 'data_buffer'; did you mean 'name'?"),
        ("data_buffer: [{processors: 0, channels: 0, dim: [2, 2], offset: 2, name: stop}]",
         "'processors' of the data buffer is 0"),
        ("data_buffer: [{processors: 0, channels: 0, dim: [2, 2], offset: 2, name: stop}]",
         "roll along one axis"),
        (f"data_buffer: {[ANY, ANY]}", "2 data buffers"),
        ("unload: [{processors: 1, channels: 1, dim: 4}]", "'unload' lacks offset"),
        ("snoop: [1, 2]", "must be a list of 32 values"),
    ],
)  # fmt: skip
def test_keys_of_the_whole_file_are_checked(text: str, words: str) -> None:
    """Buffer, unload and snoop: what is missing, unknown or malformed."""
    with pytest.raises(InputError) as error:
        read_entries(f"{HEAD}{text}\nlayers: [{{processors: 1}}]", "net.yaml", MAX78002)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("buffer", "words"),
    [
        ("processors: 0x70, channels: 4, dim: 6, offset: 0x7000", "4 channels on 3 processors"),
        ("processors: 0xf0, channels: 4, dim: 6, offset: 0x7ffc", "ends at byte 32788"),
    ],
)
def test_buffer_that_does_not_lie_in_memory_is_refused(buffer: str, words: str) -> None:
    """Its map and its size."""
    head = f"{HEAD}data_buffer: [{{{buffer}, name: tcn}}]\n"
    with pytest.raises(InputError) as error:
        outputs("processors: 0xf, op: none, out_offset: 0x1000", picture(4, 1, 1), head=head)
    assert words in str(error.value)


def test_debugging_aids_change_nothing() -> None:
    """Snoop registers, unload lists, read-ahead and timing keys are accepted."""
    x = picture(4, 2, 2)
    head = (
        f"{HEAD}snoop: {list(range(32))}\nbias: b\nweights: w\n"
        "unload: [{processors: 0xf, channels: 4, dim: [2, 2], offset: 0x2000, write_gap: 0}]\n"
    )
    lines = "processors: 0xf, op: none, out_offset: 0x2000, tcalc: true, readahead: true"
    (found,) = outputs(lines, x, head=head, part=MAX78002)
    np.testing.assert_array_equal(found, x)


@pytest.mark.parametrize("source", ["0", "First"])
def test_weights_bias_and_shift_are_shared(source: str) -> None:
    """The second layer repeats the first one's arithmetic, bias included."""
    x = picture(4, 2, 2)
    (found,) = outputs(
        f"processors: 0xf, name: first, out_offset: 0x2000, output_shift: 1, "
        f"output_processors: 0xf, {ONE}\n"
        f"processors: 0xf, in_offset: 0x2000, out_offset: 0x4000, weight_source: {source}, {ONE}",
        x, weights(4, 4, 1, 1, value=20, bias=128 * 9),
    )  # fmt: skip
    for _ in range(2):
        x = rounded(2 * (20 * x.sum(0, keepdims=True).repeat(4, 0) + 128 * 9))
    np.testing.assert_array_equal(found, x)


def test_shared_weights_have_their_own_width() -> None:
    """The compiler takes eight bits for a sharing layer unless the file says otherwise: the same
    codes, then shifted by four bits less.
    """
    x = picture(4, 2, 2)
    four = LayerParameters("w", np.full((4, 4, 1, 1), 7.0), None, 4, 0)
    lines = (
        f"processors: 0xf, out_offset: 0x2000, output_processors: 0xf, {ONE}\n"
        "processors: 0xf, in_sequences: input, in_offset: 0, out_offset: 0x4000, "
        f"weight_source: 0, {{}}{ONE}"
    )
    total = 7 * x.sum(0, keepdims=True).repeat(4, 0)
    np.testing.assert_array_equal(outputs(lines.format(""), x, four)[0], rounded(total))
    same = outputs(lines.format("quantization: 4, "), x, four)[0]
    np.testing.assert_array_equal(same, rounded(16 * total))


def test_weight_source_that_is_no_layer_before_is_refused() -> None:
    """It must have weights, and stand before."""
    with pytest.raises(InputError, match="'weight_source' names 7"):
        outputs(f"processors: 0xf, weight_source: 7, {ONE}", picture(4, 2, 2))
