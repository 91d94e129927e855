"""QDQ files in onnxruntime: running them, and what counts of their integers add up to."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from tests.core.quantization.networks import everything, inputs

from nibblefit.errors import InputError, MismatchError, MissingExtraError
from nibblefit.nn.onnx_export.entry import to_onnx
from nibblefit.quantization.fold import fold
from nibblefit.quantization.qdq.agreement import Agreement, TensorAgreement
from nibblefit.quantization.qdq.running import run_onnx

DATA = inputs(2, (3, 8, 8))


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """Return a float network as ONNX."""
    return to_onnx(fold(everything()))


def test_tensors_inside_a_model_are_returned_too(model: onnx.ModelProto, tmp_path: Path) -> None:
    """Each once, beside the outputs, from a model or its file, which stay as they are."""
    pytest.importorskip("onnxruntime")
    outputs = [value.name for value in model.graph.output]
    inner = model.graph.node[0].output[0]
    before = model.SerializeToString()
    found = run_onnx(model, {"x": DATA}, [inner, outputs[0], inner])
    assert model.SerializeToString() == before
    assert list(found) == [*outputs, inner]
    onnx.save(model, str(tmp_path / "net.onnx"))
    again = run_onnx(tmp_path / "net.onnx", {"x": DATA}, [inner])
    assert all(np.array_equal(found[name], again[name]) for name in found)


def test_models_of_batch_one_take_samples_one_by_one() -> None:
    """The results are those of the same network with an open batch axis; none is lost."""
    pytest.importorskip("onnxruntime")
    graph = fold(everything())
    single = to_onnx(graph, batch="N")
    for value in (*single.graph.input, *single.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    whole = run_onnx(to_onnx(graph), {"x": DATA})
    parts = run_onnx(single, {"x": DATA}, one_by_one=True)
    assert list(parts) == list(whole)
    for name, values in whole.items():
        assert parts[name].shape == values.shape
        np.testing.assert_allclose(parts[name], values, rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="onnxruntime refuses the model"):
        run_onnx(single, {"x": DATA})


def test_inputs_that_do_not_fit_are_refused(model: onnx.ModelProto) -> None:
    """With the message of onnxruntime."""
    pytest.importorskip("onnxruntime")
    wrong: npt.NDArray[np.float32] = np.zeros((1, 4, 8, 8), np.float32)
    with pytest.raises(InputError, match="onnxruntime refuses the model: "):
        run_onnx(model, {"x": wrong})


def test_onnxruntime_is_an_extra(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Without it, the text says what to install."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match="'runtime'") as caught:
        run_onnx(model, {"x": DATA})
    assert "'nibblefit[runtime]'" in caught.value.hint


def test_totals_are_sums_and_what_is_left_over_is_named() -> None:
    """The largest distance is no sum; tensors with unexplained integers stand in the error."""
    one = TensorAgreement("a", 10, differing=3, inherited=1, farthest=0.25)
    two = TensorAgreement("b", 5, differing=2, unexplained=2, farthest=0.125)
    found = Agreement({"a": one, "b": two}, {})
    assert found.total == TensorAgreement("total", 15, 5, 1, 2, 0.25)
    with pytest.raises(MismatchError, match=r"beyond rounding ties in 'b' \(2\)\n"):
        found.require_explained()
    Agreement({"a": one}, {}).require_explained()
