"""Whole runs of networks with what few networks have, from float training to files."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.maxim.qat.runs import accuracies, carried_out, decisions, recipe

from nibblefit.recipe import ModelSection, Recipe

NETWORKS = Path(__file__).with_name("special_networks.py")


def _recipe(network: str, options: dict[str, object] | None = None, epochs: int = 4) -> Recipe:
    made = recipe(options, steps={"float": {"epochs": epochs}, "qat": {"epochs": 2}},
                  batch_size=32)  # fmt: skip
    return made.model_copy(update={"model": ModelSection(source=f"{NETWORKS}:{network}")})


@pytest.mark.parametrize("rounds", [False, True])
def test_rounding_of_averages_reaches_integers_command_and_readme(
    tmp_path: Path, rounds: bool
) -> None:
    """What the recipe says is what training computes, files mean, and the compiler is told."""
    opened = carried_out(
        _recipe("averaging", {"rounds_averages": rounds}), tmp_path / "run", until="compile"
    )
    graph = opened.graph("quantize")
    pools = [node for node in graph.nodes if node.op.value == "avg_pool"]
    assert [node.steps[0].rounding.value for node in pools] == (
        ["half_away" if rounds else "toward_zero"] * 2
    )
    assert not opened.report("evaluate").failed
    artifact = opened.artifact("compile")
    readme = (opened.folder("compile") / "README.md").read_text()
    for text in (artifact.notes["command"], readme):
        assert ("--avg-pool-rounding" in text) is rounds


def test_network_with_bits_and_long_kernel_is_trained_and_written(tmp_path: Path) -> None:
    """It learns in float and quantized; operands of the bitwise layer keep the input's scale."""
    opened = carried_out(_recipe("bits", epochs=6), tmp_path / "run", until="compile")
    model = opened.model("qat")
    found = accuracies(model)
    assert max(found[:6]) > 0.85
    assert max(found[6:]) >= max(found[:6]) - 0.03
    assert not opened.report("evaluate").failed
    operands = next(node.inputs for node in opened.graph("quantize").nodes if node.op.value == "or")
    assert {decisions(model).thresholds[name] for name in operands} == {0}
