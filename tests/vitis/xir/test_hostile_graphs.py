"""Well-formed files whose operators do not fit each other: one clear line."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.vitis.xir.networks import NETWORKS, formats_of

from nibblefit.errors import NibblefitError
from nibblefit.ir.graph import frozen_mapping
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.xir.encoding import encode
from nibblefit_vitis.xir.graph import Attribute, Kind, XirGraph
from nibblefit_vitis.xir.importing.network import network_of
from nibblefit_vitis.xir.network import to_xir
from nibblefit_vitis.xir.reading import decode

GRAPHS = tuple(to_xir(build(), formats_of(build()), NetworkSetting()).graph for build in NETWORKS)
STRANGE = (
    Attribute(Kind.BOOL, True), Attribute(Kind.INT32, -7), Attribute(Kind.INT32, 2**31 - 1),
    Attribute(Kind.FLOAT, float("nan")), Attribute(Kind.STRING, "?"), Attribute(Kind.BYTES, b"?"),
    Attribute(Kind.INT32S, ()), Attribute(Kind.INT32S, (0, 0, 0, 0)),
    Attribute(Kind.INT32S, (-1, 10**9, 3)), Attribute(Kind.FLOATS, (1e38,)),
)  # fmt: skip


@st.composite
def disturbed(draw: st.DrawFn) -> XirGraph:
    """Return a graph of ours in which one to three things are other than they should be."""
    graph = draw(st.sampled_from(GRAPHS))
    operators = list(graph.operators)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(operators) - 1))
        operator = operators[place]
        attributes, arguments = dict(operator.attributes), dict(operator.arguments)
        tensor, kind = operator.tensor, operator.kind
        what = draw(st.sampled_from(("drop", "change", "read", "forget", "shape", "kind")))
        if what in ("drop", "change") and attributes:
            key = draw(st.sampled_from(sorted(attributes)))
            attributes.pop(key)
            if what == "change":
                attributes[key] = draw(st.sampled_from(STRANGE))
        elif what == "read" and arguments and place:
            key = draw(st.sampled_from(sorted(arguments)))
            other = operators[draw(st.integers(0, place - 1))].name
            arguments[key] = (other, *arguments[key][1:])
        elif what == "forget" and arguments:
            arguments.pop(draw(st.sampled_from(sorted(arguments))))
        elif what == "shape":
            sizes = draw(st.lists(st.integers(0, 9), max_size=5))
            tensor = replace(tensor, shape=tuple(sizes))
        elif what == "kind":
            kind = draw(st.sampled_from(operators)).kind
        operators[place] = replace(
            operator, kind=kind, attributes=frozen_mapping(attributes),
            arguments=frozen_mapping(arguments), tensor=tensor,
        )  # fmt: skip
    return replace(graph, operators=tuple(operators))


@settings(max_examples=400)
@given(disturbed())
def test_disturbed_graphs_are_read_or_refused(graph: XirGraph) -> None:
    """Nothing but our own errors comes out, and they have words."""
    with suppress(NibblefitError):
        network_of(decode(encode(graph)))
