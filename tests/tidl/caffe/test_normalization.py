"""Batch norm in both dialects and three orders of blobs; what a folded network computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.tidl.caffe import wire
from tests.tidl.caffe.networks import header, imported, layer, result, run

from nibblefit.errors import InputError
from nibblefit.ir.ops import Op
from nibblefit.nn.rewrite.fold_batch_norm import fold_batch_norm

RANDOM = np.random.default_rng(3)
IMAGE = RANDOM.normal(size=(2, 4, 3, 3))
MEAN, VARIANCE, SCALE, BIAS = (
    RANDOM.uniform(0.5, 2, 4).astype("f4").astype(float) for _ in range(4)
)
TI = layer("n", "BatchNorm", "batch_norm_param { eps: 0.0001 scale_bias: true }")
BVLC = layer("n", "BatchNorm", "batch_norm_param { eps: 0.001 }")


def normalized(epsilon: float) -> np.ndarray:
    """Return the image with the statistics taken out."""
    centred = IMAGE - MEAN[:, None, None]
    return centred / np.sqrt(VARIANCE + epsilon)[:, None, None]


@pytest.mark.parametrize("shape", [(4,), (1, 4, 1, 1)])
def test_ti_keeps_scale_and_bias_inside(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Blobs are mean, variance, a reserved one, scale, bias; the reserved one changes nothing."""
    blobs = [wire.blob(shape, MEAN), wire.blob(shape, VARIANCE), wire.blob((1,), [17.0]),
             wire.blob(shape, SCALE), wire.blob(shape, BIAS)]  # fmt: skip
    found = result(tmp_path, header(4, 3, 3) + TI, IMAGE, wire.layer("n", "BatchNorm", blobs))
    expected = normalized(1e-4) * SCALE[:, None, None] + BIAS[:, None, None]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_first_forks_order_is_recognised(tmp_path: Path) -> None:
    """Scale, bias, mean, variance, reserved: told apart by the last blob's single number."""
    blobs = [wire.blob((4,), values) for values in (SCALE, BIAS, MEAN, VARIANCE)]
    blobs.append(wire.blob((1,), [1.0]))
    found = result(tmp_path, header(4, 3, 3) + TI, IMAGE, wire.layer("n", "BatchNorm", blobs))
    expected = normalized(1e-4) * SCALE[:, None, None] + BIAS[:, None, None]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_bvlc_keeps_sums_and_their_count(tmp_path: Path) -> None:
    """Mean and variance are divided by the third blob; a count of zero means no statistics."""
    blobs = [wire.blob((4,), 8 * MEAN), wire.blob((4,), 8 * VARIANCE), wire.blob((1,), [8.0])]
    text = header(4, 3, 3) + BVLC
    found = result(tmp_path, text, IMAGE, wire.layer("n", "BatchNorm", blobs))
    np.testing.assert_allclose(found, normalized(1e-3), atol=1e-12)
    blobs[2] = wire.blob((1,), [0.0])
    found = result(tmp_path, text, IMAGE, wire.layer("n", "BatchNorm", blobs))
    np.testing.assert_allclose(found, IMAGE / np.sqrt(1e-3), atol=1e-9)


def test_batch_norm_and_the_scale_behind_it_are_one_node(tmp_path: Path) -> None:
    """In place or not; a batch norm that two layers read stays as it is."""
    model = wire.layer("n", "BatchNorm", [wire.blob((4,), MEAN), wire.blob((4,), VARIANCE),
                                          wire.blob((1,), [1.0])])  # fmt: skip
    model += wire.layer("s", "Scale", [wire.blob((4,), SCALE), wire.blob((4,), BIAS)])
    scale = layer("s", "Scale", "scale_param { bias_term: true }", bottom="n")
    found = imported(tmp_path, header(4, 3, 3) + BVLC + scale, model).graph
    assert [node.op for node in found.nodes] == [Op.BATCH_NORM]
    expected = normalized(1e-3) * SCALE[:, None, None] + BIAS[:, None, None]
    np.testing.assert_allclose(run(found, IMAGE)[0], expected, atol=1e-12)
    other = layer("r", "ReLU", bottom="n")
    ops = [
        n.op for n in imported(tmp_path, header(4, 3, 3) + BVLC + scale + other, model).graph.nodes
    ]
    assert ops == [Op.BATCH_NORM, Op.SCALE_OFFSET, Op.RELU]


def test_folding_keeps_what_the_network_computes(tmp_path: Path) -> None:
    """Convolution, TI's batch norm and ReLU in place, folded by core."""
    weights = RANDOM.normal(size=(4, 4, 3, 3)).astype("f4")
    model = wire.layer(
        "c", "Convolution", [wire.blob(weights.shape, weights), wire.blob((4,), BIAS)]
    )
    model += wire.layer("n", "BatchNorm", [wire.blob((4,), MEAN), wire.blob((4,), VARIANCE),
                                           wire.blob((1,), [1.0]), wire.blob((4,), SCALE),
                                           wire.blob((4,), MEAN)])  # fmt: skip
    settings = "convolution_param { num_output: 4 kernel_size: 3 pad: 1 }"
    text = header(4, 3, 3) + layer("c", "Convolution", settings)
    text += TI.replace('"data"', '"c"').replace('top: "n"', 'top: "c"')
    text += layer("r", "ReLU", bottom="c", top="c")
    graph = imported(tmp_path, text, model).graph
    folded = fold_batch_norm(graph)
    assert [node.op for node in folded.nodes] == [Op.CONV, Op.RELU]
    np.testing.assert_allclose(run(folded, IMAGE)[0], run(graph, IMAGE)[0], atol=1e-5)


def test_an_untrained_batch_norm_starts_from_its_fillers(tmp_path: Path) -> None:
    """Without weights the variance is one, so that the network passes something on."""
    fillers = TI.replace("scale_bias: true", "scale_filler { value: 3 } bias_filler { value: 1 }")
    found = result(tmp_path, header(4, 3, 3) + fillers, IMAGE)
    np.testing.assert_allclose(found, 3 * IMAGE / np.sqrt(1 + 1e-4) + 1, atol=1e-12)


@pytest.mark.parametrize(
    ("blobs", "said"),
    [
        ([wire.blob((3,), MEAN[:3])], r"mean of layer 'n' is \(3,\).*expected 4"),
        ([wire.blob((4,), MEAN)], "variance of layer 'n' is no blob"),
        (
            [wire.blob((4,), MEAN), wire.blob((4,), -VARIANCE), wire.blob((1,), [1.0])],
            "negative in 4",
        ),
    ],
)
def test_statistics_that_do_not_fit_are_refused(
    tmp_path: Path, blobs: list[bytes], said: str
) -> None:
    """The layer, what was found and what is expected are named."""
    with pytest.raises(InputError, match=said):
        imported(tmp_path, header(4, 3, 3) + BVLC, wire.layer("n", "BatchNorm", blobs))
