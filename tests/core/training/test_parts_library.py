"""Ready-made parts, optimizer groups and names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.core.training.toys import CONV_MASK, TASK, network, source

from nibblefit.data.source import Split
from nibblefit.errors import InputError, PluginError, RecipeError
from nibblefit.recipe import TrainSection
from nibblefit.training.evaluation import evaluate_float
from nibblefit.training.naming import parameters_by_name, tensor_called
from nibblefit.training.optimizers import (
    build_optimizer,
    frozen_names,
    hold_frozen,
    optimizer_state,
    restore_optimizer,
    set_learning_rate,
)
from nibblefit.training.parts import Progress, TrainingPart
from nibblefit.training.parts_library import FoldBatchNorm, FreezePart, L1Penalty, MaskPart

START = Progress(0, 0, 4, 16)


def test_base_part_does_nothing():
    """Every method of the base class is neutral."""
    part, net = TrainingPart(), network()
    assert part.penalty(net, START) is None
    assert part.rewrite(net, START) is None
    assert part.learning_rate_factor(START) == 1.0
    assert part.settled(START)
    part.after_step(net, START)
    part.load_state_dict(part.state_dict())


def test_l1_penalty_sums_matching_magnitudes():
    """The penalty is strength times the sum over exactly the matching parameters."""
    net = network()
    found = L1Penalty(0.5, ("conv.*",)).penalty(net, START)
    assert found.item() == pytest.approx(0.5 * net.conv.weight.abs().sum().item())
    assert L1Penalty(0.5, ("none",)).penalty(net, START) is None


def test_masks_zero_even_nan_and_check_shapes():
    """Removed weights become +0 whatever they were; a mask of another shape is refused."""
    net = network()
    net.conv.weight.data.fill_(float("nan"))
    MaskPart(CONV_MASK).apply(net)
    weights = net.conv.weight.detach().numpy()
    removed = weights[~CONV_MASK["conv.weight"]]
    assert not removed.any()
    assert not np.signbit(removed).any()
    with pytest.raises(InputError, match=r"mask of 'conv.weight' is \[2\]"):
        MaskPart({"conv.weight": np.ones(2, bool)}).apply(net)
    with pytest.raises(PluginError, match="no parameter 'gone'"):
        MaskPart({"gone": np.ones(2, bool)}).apply(net)
    again = MaskPart({})
    again.load_state_dict(MaskPart(CONV_MASK).state_dict())
    again.apply(net)


def test_freezing_ends_when_told():
    """A frozen group disappears at its epoch and asks for a new optimizer."""
    part, net = FreezePart(("conv.*",), until=2), network()
    assert part.parameter_groups(net)[0].learning_rate_factor == 0
    assert part.rewrite(net, Progress(1, 4, 4, 16)) is None
    assert not part.settled(Progress(1, 4, 4, 16))
    assert part.rewrite(net, Progress(2, 8, 4, 16)) is net
    assert part.parameter_groups(net) == ()


def test_folding_needs_a_graph_network():
    """A plain module cannot be folded, and the error says so."""
    with pytest.raises(PluginError, match="TinyNet"):
        FoldBatchNorm(0).rewrite(network(), START)


def test_groups_win_in_order_and_set_rates():
    """Recipe groups beat those of parts; every group follows the rate with its factor."""
    net = network()
    settings = TrainSection(
        parameter_groups=(
            {"patterns": ["*.bias"], "weight_decay": 0.0},
            {"patterns": ["linear.*"], "learning_rate_factor": 0.5},
        ),
        weight_decay=0.3,
    )
    optimizer = build_optimizer(net, settings, [FreezePart(("conv.*", "linear.*"))])
    set_learning_rate(optimizer, 0.2)
    rates = {
        name: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for name, parameter in net.named_parameters()
        if any(parameter is p for p in group["params"])
    }
    assert rates == {
        "norm.bias": (0.2, 0.0),
        "linear.bias": (0.2, 0.0),
        "linear.weight": (0.1, 0.3),
        "norm.weight": (0.2, 0.3),
    }


def test_optimizer_state_travels_by_name():
    """State goes to parameters of the same name and shape; others start fresh."""
    net, settings = network(), TrainSection()
    optimizer = build_optimizer(net, settings, [])
    net(torch.randn(4, 1, 6, 6))[0].sum().backward()
    optimizer.step()
    state = optimizer_state(optimizer, net)
    other = network(1)
    other.linear = torch.nn.Linear(64, 3)
    restored = build_optimizer(other, settings, [])
    restore_optimizer(restored, other, state)
    kept = restored.state[other.conv.weight]
    assert kept["exp_avg"].equal(optimizer.state[net.conv.weight]["exp_avg"])
    assert other.linear.weight not in restored.state


def test_graph_names_are_used_where_known():
    """A network that knows its constants' names is addressed by them."""
    net = network()
    net.constant_name = {"conv.weight": "stem/conv"}.__getitem__
    names = list(parameters_by_name(net))
    assert names[0] == "stem/conv"
    assert "linear.weight" in names
    assert tensor_called(net, "stem/conv", "test") is net.conv.weight
    assert tensor_called(net, "conv.weight", "test") is net.conv.weight


def test_evaluation_leaves_the_mode_and_honours_the_limit():
    """A network in training is judged in evaluation mode and goes on training."""
    net = network().train()
    statistics = net.norm.running_mean.clone()
    report = evaluate_float(net, TASK, source(), Split.TEST, 7, 10, subject="tiny")
    assert net.training
    assert net.norm.running_mean.equal(statistics)
    assert report.subject == "tiny"
    assert np.sum(report.arrays["confusion"]) == 10
    whole = evaluate_float(net, TASK, source(), Split.TEST, 1)
    same = evaluate_float(net, TASK, source(), Split.TEST, 20)
    assert whole.metrics == same.metrics


def test_a_group_that_matches_nothing_is_refused_with_the_closest_name():
    """A part's misspelt pattern would otherwise be silence; names are those of the graph."""
    net = network()
    with pytest.raises(PluginError, match=r"'freeze'.*'conv1\*'.*did you mean 'conv"):
        build_optimizer(net, TrainSection(), [FreezePart(["conv1*"])])
    wrong = TrainSection(parameter_groups=({"patterns": ["cnv.weight"]},))
    with pytest.raises(RecipeError, match=r"matches no parameter; did you mean 'conv\.weight'"):
        build_optimizer(net, wrong, [])
    late = TrainSection(parameter_groups=({"patterns": ["*"]}, {"patterns": ["conv.*"]}))
    with pytest.raises(RecipeError, match="narrower group first"):
        build_optimizer(net, late, [])
    # A part's group may come after one of the recipe that took everything it matches.
    first = TrainSection(parameter_groups=({"patterns": ["conv.*"]},))
    assert build_optimizer(net, first, [FreezePart(["conv.*"])]).param_groups


def _frozen(*entries: str) -> set[str]:
    return set(frozen_names(network(), TrainSection(freeze=entries)))


def test_freeze_takes_globs_and_frees_again():
    """Later entries win; an entry that matches nothing is refused with the closest name."""
    everything = set(parameters_by_name(network()))
    assert _frozen() == set()
    assert _frozen("*", "!linear.*") == everything - {"linear.weight", "linear.bias"}
    assert _frozen("*", "!linear.*", "linear.bias") == everything - {"linear.weight"}
    with pytest.raises(RecipeError, match=r"train.freeze: \['conv9.\*'\].*did you mean 'conv.w"):
        _frozen("conv9.*")


def test_frozen_parameters_get_no_gradient_and_beat_groups():
    """Neither optimizer nor backward pass touches them, even after a second look."""
    net = network()
    settings = TrainSection(
        freeze=("*", "!linear.*"), parameter_groups=({"patterns": ["linear.bias"]},)
    )
    for _ in range(2):
        hold_frozen(net, settings)
        optimizer = build_optimizer(net, settings, [FreezePart(("conv.*",))])
    net(torch.randn(4, 1, 6, 6))[0].sum().backward()
    taken = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert taken == {id(net.linear.weight), id(net.linear.bias)}
    assert net.conv.weight.grad is None
    assert net.linear.weight.grad is not None
    with pytest.raises(RecipeError, match="matches no parameter that is still free"):
        build_optimizer(
            net, TrainSection(freeze=("*",), parameter_groups=({"patterns": ["conv.*"]},)), []
        )
