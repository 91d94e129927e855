"""Every integer of every layer of the vendor's own networks, by judge and engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.maxim.vectors import (
    NETS,
    VendorCase,
    micro,
    names_in,
    net,
    read_mutated,
    rejected,
)

from nibblefit.engine import Engine
from nibblefit.errors import InputError
from nibblefit.ir import reference

#: Vectors the reader cannot follow yet, with the reason. Strict: a listed one that passes fails.
NOT_YET: dict[str, str] = {}


def _check(case: VendorCase) -> None:
    inputs = {case.graph.inputs[0]: case.input[None].astype(np.int64)}
    judged = reference.run(case.graph, inputs)
    fast = Engine(case.graph).run(inputs, keep="all")
    for name, expected in case.expected.items():
        found = judged.tensors[name][0]
        assert found.size == expected.size, name
        assert np.array_equal(found.reshape(expected.shape), expected), name
    for name, codes in judged.tensors.items():
        assert np.array_equal(fast.tensors[name], codes), name


@pytest.mark.parametrize("name", NETS)
def test_vendor_network_gives_every_expected_integer(shared: Path, name: str) -> None:
    """YAML and checkpoint of a real network reproduce the vendor's simulation."""
    case = net(shared / "vendor" / "maxim" / "nets" / name)
    assert len(case.expected) >= 2
    _check(case)


@pytest.mark.parametrize("name", names_in("micro", ".yaml"))
def test_single_purpose_network_gives_every_expected_integer(shared: Path, name: str) -> None:
    """One operator, geometry or width at a time reproduces the vendor's simulation."""
    stem = shared / "vendor" / "maxim" / "micro" / name
    if name in NOT_YET:
        with pytest.raises(InputError):
            micro(stem)
        pytest.xfail(NOT_YET[name])
    _check(micro(stem))


def test_all_single_purpose_networks_are_there(shared: Path) -> None:
    """The parametrization above did not silently shrink."""
    assert len(names_in("micro", ".yaml")) == 135
    assert set(NOT_YET) <= set(names_in("micro", ".yaml"))


@pytest.mark.parametrize("case", rejected() or [{"case": "absent"}], ids=lambda c: c["case"])
def test_mutated_file_has_the_vendor_tools_verdict(shared: Path, case: dict) -> None:
    """What the vendor's tool refuses is refused with file and line; what it accepts is read."""
    if case["accepted"]:
        assert read_mutated(case).outputs
        return
    with pytest.raises(InputError) as error:
        read_mutated(case)
    assert f"{case['case']}.yaml" in str(error.value)
    assert error.value.hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unknown-layer-key", ":10:|'padding'|did you mean 'pad'"),
        ("processors-too-few-bits", ":22:|60 processors|has 56"),
        ("pad-ge-kernel", "pad 1|kernel"),
        ("overwrite-input-same-offset", "overwrites its own input"),
        ("output-shift-16", "total shift is 16|−15 to 15"),
    ],
)
def test_refusal_names_line_and_numbers(shared: Path, name: str, words: str) -> None:
    """A refusal says where, what was found and what was expected."""
    case = next(c for c in rejected() if c["case"] == name)
    with pytest.raises(InputError) as error:
        read_mutated(case)
    for word in words.split("|"):
        assert word in str(error.value)
