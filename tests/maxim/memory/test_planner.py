"""Planning whole graphs: forms of tensors, inserted layers, streaming, refusals."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from tests.maxim.random_networks import RandomNetwork, plannable, unconstrained

from nibblefit.errors import LimitError, UnsupportedError
from nibblefit_maxim.layers import Eltwise, HardwareLayer, Operator, Pool, PoolKind
from nibblefit_maxim.memory.arrangement import Origin
from nibblefit_maxim.memory.figures import fit_report
from nibblefit_maxim.memory.needs import LayerNeeds, spill_words
from nibblefit_maxim.memory.plan import MemoryPlan
from nibblefit_maxim.memory.planner import plan_memory, try_plan
from nibblefit_maxim.parts import MAX78000, MAX78002, PARTS, Part
from nibblefit_maxim.proving.prover import prove


def conv(name: str, sources: tuple[str, ...], channels: int, outputs: int, **keys: object):
    """Return what a padded 3×3 convolution on 32×32 pixels asks for."""
    side = int(keys.pop("side", 32))  # type: ignore[call-overload]
    size = keys.pop("size", (side, side))
    values = {"kernel": (3, 3), "pad": (1, 1), "dilation": (1, 1), **keys}
    return LayerNeeds(
        HardwareLayer(name, Operator.CONV2D, sources, (channels, *size), (outputs, *size), **values)
    )


def check(needs: list[LayerNeeds], part: Part, outputs: tuple[str, ...] = ()) -> MemoryPlan:
    """Return the plan; its proof finds nothing."""
    plan = plan_memory(needs, part, "x", outputs)
    assert prove([need.layer for need in plan.needs], plan, part) == []
    return plan


def residual() -> list[LayerNeeds]:
    """Return three convolutions to 16, 20 and 20 channels and an addition in a fourth layer."""
    return [
        conv("a", ("x",), 3, 16),
        conv("b", ("a",), 16, 20),
        conv("c", ("b",), 20, 20),
        conv("d", ("b", "c"), 20, 44, eltwise=Eltwise.ADD),
    ]


def test_residual_network_gets_the_plan_people_write() -> None:
    """One gap-forming passthrough, operands interleaved at 0x2000 and 0x2004."""
    plan = check(residual(), MAX78000)
    assert [layer.origin for layer in plan.layers] == [
        Origin.NETWORK, Origin.NETWORK, Origin.GAP, Origin.NETWORK, Origin.NETWORK,
    ]  # fmt: skip
    _, second, gap, third, last = plan.layers
    assert (second.out_offset, second.write_gap) == (0x0000, 0)
    assert (gap.in_offset, gap.out_offset, gap.write_gap) == (0x0000, 0x2000, 1)
    assert (third.in_offset, third.out_offset, third.write_gap) == (0x0000, 0x2004, 1)
    assert (last.in_offset, last.sources) == (0x2000, (2, 3))
    assert gap.output_processors == third.output_processors == last.processors
    assert plan.needs[2].layer.operator is Operator.PASSTHROUGH


def test_larger_device_skips_the_gaps_instead_of_copying() -> None:
    """With read gaps a tensor that is added and read elsewhere needs no second form."""
    plan = check(residual(), MAX78002)
    assert len(plan.layers) == 4
    assert (plan.layers[1].write_gap, plan.layers[2].read_gap) == (1, 1)


def test_sum_of_a_tensor_with_itself_costs_two_copies() -> None:
    """Both operands come from one tensor, which has to be written in two slots."""
    needs = [conv("a", ("x",), 3, 8), conv("b", ("a", "a"), 8, 8, eltwise=Eltwise.ADD)]
    assert [layer.origin for layer in check(needs, MAX78000).layers].count(Origin.GAP) == 2


def test_concatenation_up_to_64_channels_lies_side_by_side() -> None:
    """Members share one offset on ascending processors and cost no layer."""
    needs = [
        conv("a", ("x",), 3, 24), conv("b", ("a",), 24, 12), conv("c", ("a", "b"), 36, 8),
    ]  # fmt: skip
    plan = check(needs, MAX78000)
    one, two, last = plan.layers
    assert one.out_offset == two.out_offset == last.in_offset
    assert one.output_processors < two.output_processors
    assert last.processors == one.output_processors | two.output_processors


@pytest.mark.parametrize(("members", "words"), [((64, 64), 2), ((48, 48, 48), 3), ((64, 60), 2)])
def test_wider_concatenation_is_interleaved(members: tuple[int, ...], words: int) -> None:
    """Members fill one pass each, on the same processors."""
    needs = [conv("a", ("x",), 3, 16, side=8)]
    names = tuple(f"m{i}" for i in range(len(members)))
    needs += [conv(n, ("a",), 16, c, side=8) for n, c in zip(names, members, strict=True)]
    needs.append(conv("z", names, sum(members), 4, side=8))
    plan = check(needs, MAX78000)
    written = plan.layers[1 : 1 + len(members)]
    assert {layer.write_gap for layer in written} == {words - 1}
    base = written[0].out_offset
    assert [layer.out_offset - base for layer in written] == [4 * i for i in range(words)]


def test_tensor_wanted_on_other_processors_is_moved() -> None:
    """A concatenation puts two tensors apart, an addition on the same processors."""
    needs = [
        conv("a", ("x",), 3, 16), conv("b", ("a",), 16, 16), conv("c", ("a", "b"), 32, 8),
        conv("d", ("a", "b"), 16, 8, eltwise=Eltwise.ADD), conv("e", ("c", "d"), 16, 8),
    ]  # fmt: skip
    plan = check(needs, MAX78000)
    assert Origin.MOVE in [layer.origin for layer in plan.layers]


@pytest.mark.parametrize("members", [(64, 32), (40, 40), (128, 128), (3, 62)])
def test_concatenation_that_no_layer_can_write_is_named(members: tuple[int, int]) -> None:
    """Members that do not fill passes, or leave too few processors, are refused."""
    needs = [
        conv("a", ("x",), 3, members[0], side=8), conv("b", ("x",), 3, members[1], side=8),
        conv("c", ("a", "b"), sum(members), 8, side=8),
    ]  # fmt: skip
    if members == (40, 40):
        check(needs, MAX78000)
        return
    with pytest.raises(UnsupportedError, match="concatenates"):
        plan_memory(needs, MAX78000, "x")


def test_outputs_survive_to_the_end() -> None:
    """A tensor that is read and also an output is marked and never overwritten."""
    needs = [conv(f"l{i}", (f"l{i - 1}" if i else "x",), 8, 8) for i in range(6)]
    plan = check(needs, MAX78000, ("l1",))
    assert [layer.is_output for layer in plan.layers] == [False, True, False, False, False, False]


def test_image_too_large_for_any_memory_streams() -> None:
    """Neither rows of words nor CHW fit 128×128 pixels and 16 channels of output."""
    pool = Pool(PoolKind.MAX, (2, 2), (2, 2), (1, 1))
    needs = [
        conv("a", ("x",), 3, 16, side=128),
        LayerNeeds(
            HardwareLayer(
                "b", Operator.CONV2D, ("a",), (16, 128, 128), (32, 64, 64), pool=pool,
                kernel=(3, 3), pad=(1, 1), dilation=(1, 1),
            )
        ),
    ]  # fmt: skip
    plan = check(needs, MAX78000)
    assert [layer.streaming for layer in plan.layers] == [True, True]
    assert plan.flags == ("--fifo",)
    # (128 + 2) · 3 + 6 words to start with, then one row and two words, times four bytes.
    assert plan.layers[1].input_bytes == 4 * (130 * 3 + 6 + 128 + 2)


def test_too_little_data_memory_says_how_much_and_where() -> None:
    """Two operands, interleaved, another tensor and the input exceed an instance."""
    needs = [
        conv("a", ("x",), 64, 64, side=56), conv("b", ("x",), 64, 64, side=56),
        conv("c", ("x",), 64, 64, side=56),
        conv("d", ("a", "b"), 64, 64, side=56, eltwise=Eltwise.ADD),
        conv("e", ("c", "d"), 64, 64, side=56, eltwise=Eltwise.ADD),
    ]  # fmt: skip
    shortages = try_plan(needs, MAX78000, "x")[1]
    short = next(shortage for shortage in shortages if shortage.rule == "memory.data")
    plane = 56 * 56 * 4
    assert short.value in {4 * plane, 5 * plane}
    assert short.limit == MAX78000.instance_bytes
    assert f"need {short.value - short.limit:.0f} bytes more" in short.message
    assert short.layer in {"c", "d"}


def test_network_that_only_fits_in_another_order_is_reordered() -> None:
    """Two branches that shrink are run one after the other."""
    pool = Pool(PoolKind.MAX, (8, 8), (8, 8), (1, 1))

    def branch(name: str) -> LayerNeeds:
        return conv(name, ("x",), 3, 64, side=56)

    def shrink(name: str, source: str) -> LayerNeeds:
        return LayerNeeds(
            HardwareLayer(
                name, Operator.CONV2D, (source,), (64, 56, 56), (4, 7, 7), pool=pool,
                kernel=(3, 3), pad=(1, 1), dilation=(1, 1),
            )
        )  # fmt: skip

    needs = [branch("a"), branch("b"), shrink("c", "a"), shrink("d", "b")]
    plan = check(needs, MAX78000)
    assert [layer.name for layer in plan.layers] == ["a", "c", "b", "d"]


def test_operands_beyond_what_the_smaller_device_does_are_named() -> None:
    """Three operands of 128 channels in front of a convolution."""
    names = ("a", "b", "c")
    needs = [conv(name, ("x",), 3, 128, side=4) for name in names]
    needs.append(conv("d", names, 128, 8, side=4, eltwise=Eltwise.ADD))
    with pytest.raises(LimitError, match="2 operands in 2 passes"):
        plan_memory(needs, MAX78000, "x")
    check(needs, MAX78002)


def test_fit_report_carries_every_figure() -> None:
    """Weight words, bias bytes, bytes in use, cycles and time."""
    report = fit_report(check(residual(), MAX78000))
    assert report.metrics["layers_inserted"] == 1
    assert report.metrics["milliseconds"] == report.metrics["cycles"] / 50_000
    titles = [table.title for table in report.tables]
    assert titles[1:] == ["Weight memory", "Bias memory", "Data memory in use"]
    data = report.tables[3]
    # While the third convolution runs, three tensors of 4096 bytes are alive in instance 0 … 4.
    assert max(data.rows[3][1:]) == 3 * 4096


def _all_planned(seeds: range, part: Part) -> set[Origin]:
    origins: set[Origin] = set()
    for seed in seeds:
        network: RandomNetwork = plannable(seed, part)
        begin = time.perf_counter()
        plan, shortages = try_plan(network.needs, part, "x", network.outputs)
        assert time.perf_counter() - begin < 1.0, seed
        assert plan is not None, (seed, [shortage.line() for shortage in shortages])
        assert prove([need.layer for need in plan.needs], plan, part) == [], seed
        origins |= {layer.origin for layer in plan.layers}
    return origins


@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
def test_random_networks_with_a_known_plan_are_planned_and_proven(part: Part) -> None:
    """Chains, residuals, concatenations, U-Nets, several outputs, sequences."""
    assert Origin.GAP in _all_planned(range(50), part)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
def test_a_thousand_random_networks_are_planned_and_proven(part: Part) -> None:
    """The same over more seeds."""
    _all_planned(range(50, 1050), part)


def _planned_or_named(seeds: range, part: Part) -> int:
    planned = 0
    for seed in seeds:
        network = unconstrained(seed, part)
        plan, shortages = try_plan(network.needs, part, "x", network.outputs)
        if plan is None:
            assert shortages, seed
            assert all(s.value > s.limit and s.hint and s.message for s in shortages), seed
            continue
        planned += 1
        assert prove([need.layer for need in plan.needs], plan, part) == [], seed
    return planned


@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
def test_unconstrained_networks_are_planned_or_the_limit_is_named(part: Part) -> None:
    """No crash, no silent refusal, no unproven plan."""
    assert 0 < _planned_or_named(range(40), part) < 40


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
def test_a_thousand_unconstrained_networks(part: Part) -> None:
    """The same over more seeds."""
    _planned_or_named(range(40, 1040), part)


def test_sum_leaves_a_biased_convolution_on_the_larger_device() -> None:
    """The MAX78002 does not add in front of a bias; other layers' biases do not matter."""
    needs = [
        replace(conv("a", ("x",), 3, 64, side=8), is_biased=True),
        conv("b", ("a",), 64, 64, side=8),
        conv("c", ("a", "b"), 64, 10, side=8, eltwise=Eltwise.ADD),
    ]
    assert Origin.SUM not in {layer.origin for layer in check(needs, MAX78002).layers}
    needs[2] = replace(needs[2], is_biased=True)
    plan = check(needs, MAX78002)
    assert [layer.origin for layer in plan.layers] == [
        Origin.NETWORK, Origin.NETWORK, Origin.SUM, Origin.NETWORK,
    ]  # fmt: skip
    assert Origin.SUM not in {layer.origin for layer in check(needs, MAX78000).layers}


def dilated(name: str, source: str, length: int) -> LayerNeeds:
    """Return a 1-D convolution with three taps seven positions apart."""
    layer = HardwareLayer(
        name, Operator.CONV1D, (source,), (16, length), (16, length - 14), kernel=(3,), pad=(0,),
        dilation=(7,),
    )  # fmt: skip
    return LayerNeeds(layer)


def test_wide_dilation_gets_room_for_what_it_writes_in_vain() -> None:
    """One row of seven words in front of the output, and the rest of the last rows behind it."""
    needs = [dilated("a", "x", 100), dilated("b", "a", 86)]
    plan = check(needs, MAX78000)
    assert all(layer.out_offset >= 4 * 7 for layer in plan.layers)
    # 100 positions are 15 rows of seven, of which 86 words are the result.
    assert spill_words(needs[0].layer) == (7, 105 - 86)
    # Kernels are stored as 3×3: 16 of them, one word each.
    assert needs[0].kernel_words == 16


def test_narrow_dilation_is_stored_with_zeros_between_taps() -> None:
    """Three taps three apart take seven: 16 kernels of 56 bits."""
    layer = replace(dilated("a", "x", 100).layer, dilation=(3,), output_shape=(16, 94))
    assert LayerNeeds(layer).kernel_words == -(-16 * 7 * 8 // 72)
    assert spill_words(layer) == (0, 0)


def test_concatenations_that_share_a_member_may_move_it_twice() -> None:
    """One member with different partners: each pair lies side by side, nothing is lost."""
    needs = [
        conv("a", ("x",), 3, 16, side=8), conv("b", ("a",), 16, 16, side=8),
        conv("c", ("b",), 16, 16, side=8), conv("d", ("a", "b"), 32, 8, side=8),
        conv("e", ("a", "c"), 32, 8, side=8), conv("f", ("b", "c"), 32, 8, side=8),
        conv("g", ("c", "b", "a"), 48, 8, side=8), conv("h", ("a", "a"), 32, 8, side=8),
        conv("i", ("d", "e", "f", "g", "h"), 40, 4, side=8),
    ]  # fmt: skip
    for part in PARTS.values():
        check(needs, part)


def test_scarce_weight_memory_is_balanced_or_named() -> None:
    """With fewer words than the first plan took, maps move, or the shortage says how many."""
    rebalanced = 0
    for seed in range(60):
        network = plannable(seed, MAX78000)
        peak = max(plan_memory(network.needs, MAX78000, "x", network.outputs).kernel_words)
        tight = replace(MAX78000, kernel_words=peak - 1)
        plan, shortages = try_plan(network.needs, tight, "x", network.outputs)
        if plan is None:
            (shortage,) = (s for s in shortages if s.rule == "memory.weights")
            assert shortage.value > shortage.limit == peak - 1
            continue
        assert prove([need.layer for need in plan.needs], plan, tight) == []
        rebalanced += 1
    assert rebalanced > 0


@pytest.mark.parametrize(
    ("needs", "part", "rule"),
    [
        ([conv("a", ("x",) * 17, 3, 8, side=4, eltwise=Eltwise.ADD)], MAX78000, "limit.operands"),
        ([conv("a", ("x",) * 3, 3, 8, side=4, eltwise=Eltwise.ADD, pool_first=False,
               pool=Pool(PoolKind.MAX, (1, 1), (1, 1), (1, 1)))], MAX78000, "limit.pool_last"),
        ([conv("a", ("x",), 8, 8, groups=8)], MAX78000, "limit.groups"),
        ([conv("a", ("x", "x"), 6, 8), conv("b", ("y",), 8, 8)], MAX78000, "plan.shape"),
        ([conv("a", ("y",), 8, 8)], MAX78000, "plan.shape"),
        ([conv("b", ("a",), 8, 8), conv("a", ("x",), 3, 8)], MAX78000, "plan.shape"),
        ([conv("a", ("x",), 3, 8), conv("b", ("a",), 4, 8, eltwise=Eltwise.ADD, packed=2)],
         MAX78000, "plan.shape"),
    ],
)  # fmt: skip
def test_each_limit_of_a_graph_is_named(needs: list[LayerNeeds], part: Part, rule: str) -> None:
    """Operands, groups, unknown tensors, wrong order, packed operands of hidden tensors."""
    plan, shortages = try_plan(needs, part, "x")
    assert plan is None
    assert rule in {shortage.rule for shortage in shortages}


def test_one_by_one_convolution_behind_a_stream_takes_the_words_of_three_by_three() -> None:
    """The compiler swaps kernels in and behind streaming layers."""
    pool = Pool(PoolKind.MAX, (4, 4), (4, 4), (1, 1))
    second = HardwareLayer(
        "b", Operator.CONV2D, ("a",), (16, 128, 128), (16, 32, 32), pool=pool, kernel=(1, 1),
        pad=(0, 0), dilation=(1, 1),
    )  # fmt: skip
    needs = [conv("a", ("x",), 3, 16, side=128), LayerNeeds(second)]
    plan = check(needs, MAX78000)
    assert plan.layers[1].streaming
    assert plan.layers[1].kernel_words == 16
    assert LayerNeeds(second).kernel_words == 2


def test_image_with_too_many_channels_to_stream_is_refused() -> None:
    """The FIFO feeds 16 channels."""
    shortages = try_plan([conv("a", ("x",), 17, 16, side=128)], MAX78000, "x")[1]
    assert [shortage.rule for shortage in shortages] == ["memory.data"]
