"""The vendor's xmodels: read completely, and written again the same, field by field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.vitis.xir.vendor import PARITY, prepared, recorded, with_constants_of

from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.xir.encoding import encode
from nibblefit_vitis.xir.graph import XirGraph, XirOperator
from nibblefit_vitis.xir.importing.network import network_of, positions
from nibblefit_vitis.xir.network import to_xir
from nibblefit_vitis.xir.reading import decode, read_xmodel

#: What may differ from the vendor's file for the same network, and why.
ALLOWED = {
    "operator definitions": "106 descriptions of built-in operators; XIR has them itself",
    "operator names": "the original's end in counters of torch's trace (ret_5, 657)",
    "order": "any order with producers first is the same graph",
    "tensor names": "each is its operator's",
}
FILES = ("SmallCNN_int.xmodel", "mini.xmodel")


@pytest.mark.parametrize(("file", "operators", "definitions"), [(FILES[0], 57, 106),
                                                                 (FILES[1], 6, 0)])  # fmt: skip
def test_vendor_files_are_read_completely(
    shared: Path, file: str, operators: int, definitions: int
) -> None:
    """No field is unknown, and writing what was read gives every operator again."""
    graph = read_xmodel(shared / "vendor/vitis/xmodel" / file)
    assert graph.unknown == ()
    assert (len(graph.operators), len(graph.definitions)) == (operators, definitions)
    assert {op.name for op in graph.operators} == set(graph.root.operators if graph.root else ())
    again = decode(encode(graph))
    assert (again.operators, again.root, again.name) == (graph.operators, graph.root, graph.name)


def test_minimal_file_is_written_with_as_many_bytes(shared: Path) -> None:
    """The minimal file has no definitions: nothing at all is lost on the way through."""
    path = shared / "vendor/vitis/xmodel/mini.xmodel"
    assert len(encode(read_xmodel(path))) == path.stat().st_size


def test_our_file_equals_the_vendors_field_by_field(shared: Path) -> None:
    """Built from the float ONNX file and recorded formats, every operator has its counterpart."""
    folder = shared / "vendor/vitis"
    theirs = read_xmodel(folder / "xmodel" / FILES[0])
    graph = with_constants_of(prepared(folder), theirs)
    formats = recorded(graph, folder / "xmodel/quant_info.json")
    ours = decode(encode(to_xir(graph, formats, PARITY).graph))
    names = counterparts(ours, theirs)
    assert len(names) == len(ours.operators) == len(theirs.operators)
    vendor = theirs.by_name()
    for operator in ours.operators:
        assert face(operator, names) == face(vendor[names[operator.name]], None), operator.name
    assert set(ALLOWED) == differences(ours, theirs)


def test_our_names_of_parameters_and_inputs_are_the_vendors(shared: Path) -> None:
    """Parameters, their fixes and inputs are called as in the vendor's file."""
    folder = shared / "vendor/vitis"
    theirs = read_xmodel(folder / "xmodel" / FILES[0])
    graph = with_constants_of(prepared(folder), theirs)
    ours = to_xir(graph, recorded(graph, folder / "xmodel/quant_info.json"), PARITY).graph
    mine = {op.name for op in ours.operators}
    held = {op.name for op in theirs.operators if op.kind in ("const", "data")}
    parameters = {name for name in held if name.endswith(("_weight", "_bias", "_input_0"))}
    assert len(parameters) == 13
    assert parameters | {f"{name}_fix" for name in parameters} <= mine


def test_constants_of_the_xmodel_are_the_recorded_parameters(shared: Path) -> None:
    """The network read from the xmodel has the codes that were recorded for the same run."""
    folder = shared / "vendor/vitis"
    read = network_of(read_xmodel(folder / "xmodel" / FILES[0]))
    found = positions(read.formats)
    with np.load(folder / "case_small/dpu_default/quantized_params_int8.npz") as codes:
        for key in codes:
            name = key.replace("::", "__").replace(".", "_")
            real = np.ldexp(codes[key].astype(np.float32), -found[name])
            np.testing.assert_array_equal(read.graph.constants[name], real, key)


def test_reading_and_writing_the_vendors_network_is_stable(shared: Path) -> None:
    """The read network, written and read again, is the same network."""
    for file in FILES:
        read = network_of(read_xmodel(shared / "vendor/vitis/xmodel" / file))
        exported = to_xir(read.graph, read.formats, NetworkSetting())
        again = network_of(decode(encode(exported.graph)), exported.names)
        assert again.graph.nodes == read.graph.nodes
        assert again.formats == read.formats


def counterparts(ours: XirGraph, theirs: XirGraph) -> dict[str, str]:
    """Match operators from the outputs backwards, by what they read; checks nothing itself."""
    mine, vendor = ours.by_name(), theirs.by_name()
    pairs = list(zip(ends(ours), ends(theirs), strict=True))
    found: dict[str, str] = {}
    while pairs:
        ours_name, theirs_name = pairs.pop()
        if ours_name in found:
            assert found[ours_name] == theirs_name
            continue
        found[ours_name] = theirs_name
        left, right = mine[ours_name].arguments, vendor[theirs_name].arguments
        assert set(left) == set(right), (ours_name, theirs_name)
        for argument in left:
            pairs += zip(left[argument], right[argument], strict=True)
    assert len(set(found.values())) == len(found)
    return found


def ends(graph: XirGraph) -> list[str]:
    """Return the operators that nothing reads."""
    read = {name for op in graph.operators for names in op.arguments.values() for name in names}
    return [operator.name for operator in graph.operators if operator.name not in read]


def face(operator: XirOperator, names: dict[str, str] | None) -> tuple[object, ...]:
    """Return everything about an operator, in the vendor's names; `names` None: it is theirs."""
    tensor = operator.tensor
    translated = {
        argument: tuple(names[name] if names is not None else name for name in given)
        for argument, given in operator.arguments.items()
    }
    return (operator.kind, dict(operator.attributes), translated, tensor.shape, tensor.data_type,
            tensor.bits, dict(tensor.attributes))  # fmt: skip


def differences(ours: XirGraph, theirs: XirGraph) -> set[str]:
    """Return what differs beside the faces of operators."""
    found = set()
    if len(ours.definitions) != len(theirs.definitions):
        found.add("operator definitions")
    if [op.name for op in ours.operators] != [op.name for op in theirs.operators]:
        found.add("operator names")
    if [op.kind for op in ours.operators] != [op.kind for op in theirs.operators]:
        found.add("order")
    mine, vendor = ({op.tensor.name for op in graph.operators} for graph in (ours, theirs))
    if mine != vendor:
        found.add("tensor names")
    for graph in (ours, theirs):
        assert all(op.name == op.tensor.name for op in graph.operators)
    assert (ours.name, ours.attributes, ours.unknown) == (
        theirs.name, theirs.attributes, theirs.unknown
    )  # fmt: skip
    return found
