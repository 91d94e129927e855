"""Classification: loss, ranking, tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.errors import InputError, RecipeError
from nibblefit.tasks.classification import Classification, ClassificationOptions
from nibblefit.tasks.protocol import MetricSink, Task

NAMES = [str(n) for n in range(7)]


def ranked(scores, label):
    """Return how many classes rank before the label: by score, then by number."""
    order = sorted(range(len(scores)), key=lambda c: (-scores[c], c))
    return order.index(label)


@given(
    st.lists(
        st.tuples(st.lists(st.integers(-3, 3), min_size=7, max_size=7), st.integers(0, 6)),
        min_size=1,
        max_size=20,
    )
)
def test_metrics_equal_sorting_with_ties(samples):
    """Top-1, top-5 and confusion equal a plain sort, also where integer scores tie."""
    scores = torch.tensor([s for s, _ in samples])
    labels = [label for _, label in samples]
    sink = Classification(NAMES).metrics()
    half = len(samples) // 2
    sink.update([scores[:half]], labels[:half])
    sink.update([scores[half:]], np.array(labels[half:]))
    places = [ranked(s, label) for s, label in samples]
    found = sink.compute()
    assert found["top1"] == sum(p == 0 for p in places) / len(places)
    assert found["top5"] == sum(p < 5 for p in places) / len(places)
    confusion = np.zeros((7, 7), int)
    for s, label in samples:
        confusion[label, s.index(max(s))] += 1
    assert sink.report("x").arrays["confusion"] == confusion.tolist()


def test_metrics_equal_torchmetrics():
    """Accuracy, top-5, recall, precision and F1 equal torchmetrics on random scores."""
    functional = pytest.importorskip("torchmetrics.functional.classification")
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(300, 7, generator=generator)
    labels = torch.randint(7, (300,), generator=generator)
    sink = Classification(NAMES).metrics()
    sink.update([scores], labels)
    found = sink.report("x")

    def expected(name, average="micro", **extra):
        call = getattr(functional, f"multiclass_{name}")
        return call(scores, labels, num_classes=7, average=average, **extra)

    assert math.isclose(found.metrics["top1"], expected("accuracy"), rel_tol=1e-6)
    assert math.isclose(found.metrics["top5"], expected("accuracy", top_k=5), rel_tol=1e-6)
    rows = found.tables[0].rows
    for column, name in ((2, "recall"), (3, "precision"), (4, "f1_score")):
        values = [row[column] for row in rows]
        assert np.allclose(values, expected(name, None).numpy(), rtol=1e-6)


def test_few_classes_have_no_top5():
    """Top-5 of five classes would always be 1 and is left out."""
    sink = Classification(["a", "b"]).metrics()
    sink.update([torch.tensor([[1.0, 0.0]])], [0])
    assert dict(sink.compute()) == {"top1": 1.0}
    assert dict(Classification(["a", "b"]).metrics().compute()) == {}


def test_nan_scores_are_never_right():
    """A network that outputs NaN gets no credit for it."""
    sink = Classification(NAMES).metrics()
    sink.update([torch.full((4, 7), math.nan)], [3, 4, 5, 6])
    assert sink.compute()["top5"] == 0.0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_probabilities_and_logits_give_the_same_loss(smoothing):
    """A network ending in softmax trains on the same loss as one without."""
    logits = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 2, 3, 6])
    plain = Classification(NAMES, ClassificationOptions(label_smoothing=smoothing))
    soft = Classification(
        NAMES, ClassificationOptions(label_smoothing=smoothing, outputs="probabilities")
    )
    expected = plain.loss([logits], labels)
    assert torch.allclose(soft.loss([logits.softmax(1)], labels), expected, rtol=1e-12)


def test_loss_takes_targets_of_any_kind():
    """Lists, arrays and tensors of class numbers give the same loss; 1 × 1 maps are flattened."""
    task, scores = Classification(NAMES), torch.randn(2, 7, 1, 1)
    found = {
        float(task.loss([scores], t)) for t in ([1, 2], np.array([1, 2]), torch.tensor([1, 2]))
    }
    assert len(found) == 1


def test_too_few_outputs_and_wrong_labels_are_explained():
    """The last layer's width and labels out of range are named."""
    task = Classification(NAMES)
    with pytest.raises(InputError, match=r"3 values.*7 classes"):
        task.loss([torch.zeros(1, 3)], [0])
    with pytest.raises(InputError, match="0 … 6"):
        task.metrics().update([torch.zeros(1, 7)], [7])


def test_protocol_holds():
    """The task and its sink satisfy the protocol; collate and decode invert each other's shapes."""
    task: Task = Classification(NAMES)
    sink: MetricSink = task.metrics()
    assert isinstance(task, Task)
    inputs, labels = task.collate([(np.zeros((1, 2, 2), np.float32), n) for n in (3, 1)])
    assert inputs.shape == (2, 1, 2, 2)
    assert labels.tolist() == [3, 1]
    scores = torch.eye(7)[labels]
    assert task.decode([scores]).tolist() == [3, 1]
    sink.update([scores], labels)
    assert sink.compute()["top1"] == 1.0
    assert Classification(NAMES).metrics().report("none").metrics == {}


def test_options_are_validated():
    """Unknown and impossible options are recipe errors with the closest key."""
    from nibblefit.data.options import read_options

    with pytest.raises(RecipeError, match="label_smoothing"):
        read_options(ClassificationOptions, {"label_smooting": 0.1}, "c", "task.options")
    with pytest.raises(RecipeError, match="label_smoothing"):
        read_options(ClassificationOptions, {"label_smoothing": 1.5}, "c", "task.options")
