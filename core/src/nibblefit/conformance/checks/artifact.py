"""Family ``artifact``: the written files are complete, stable and mean the same integers."""

from __future__ import annotations

import hashlib

from nibblefit.conformance.bench import Bench
from nibblefit.conformance.records import CheckFailure, check
from nibblefit.errors import NibblefitError, UnsupportedError
from nibblefit.ir.compare import compare
from nibblefit.ir.reference import run as judge


@check(
    "artifact.compile",
    why="the files are what the user came for",
    how="end compile with a return of an Artifact",
    needs=("stages.quantize",),
)
def compiles(bench: Bench) -> None:
    """At least the simplest networks compile; refusals are explained."""
    done = 0
    for case in bench.cases:
        try:
            bench.artifact(case)
            done += 1
        except UnsupportedError as error:
            if not error.hint:
                raise CheckFailure(f"'{case.name}' is refused without a remedy") from error
    if not done:
        raise CheckFailure("no network of the kit compiles")


@check(
    "artifact.digests",
    why="a file changed on the way to the device must be noticed",
    how="list every file of the folder in Artifact.files with the SHA-256 of its bytes",
    needs=("artifact.compile",),
)
def digests(bench: Bench) -> None:
    """Every file is listed, exists, and has the stated digest."""
    for _, artifact, folder in bench.artifacts():
        listed = set()
        for file in artifact.files:
            path = folder / file.path
            listed.add(path)
            if not path.is_file():
                raise CheckFailure(f"listed file '{file.path}' does not exist")
            if hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
                raise CheckFailure(f"file '{file.path}' does not have the stated digest")
        extra = {p for p in folder.rglob("*") if p.is_file()} - listed
        if extra:
            raise CheckFailure(f"file '{sorted(extra)[0].name}' is written but not listed")


@check(
    "artifact.deterministic",
    why="the same network must give the same bytes, or releases cannot be compared",
    how="write no times, no temporary names and nothing in set or directory order",
    needs=("artifact.compile",),
)
def deterministic(bench: Bench) -> None:
    """Compiling twice gives the same bytes."""
    for case, artifact, _ in bench.artifacts():
        again, _ = bench.fresh_artifact(case)
        for first, second in zip(artifact.files, again.files, strict=False):
            if first != second:
                raise CheckFailure(f"file '{first.path}' differs when written again")
        if len(artifact.files) != len(again.files):
            raise CheckFailure("another number of files when compiled again")


@check(
    "artifact.read_back",
    why="a wrong file is found here, or on the device weeks later",
    how="implement read_back by parsing the files, not by keeping the graph",
    needs=("artifact.compile",),
)
def read_back(bench: Bench) -> None:
    """The files, parsed again, give the same output integers."""
    for case, artifact, folder in bench.artifacts():
        graph = bench.quantized(case)
        try:
            parsed = bench.read_back(case, artifact, folder)
        except NibblefitError as error:
            raise CheckFailure(f"network '{case.name}': {error.what}") from error
        codes = bench.extreme_codes(graph)
        renamed = dict(zip(parsed.inputs, (codes[name] for name in graph.inputs), strict=True))
        expected, actual = judge(graph, codes), judge(parsed, renamed)
        for ours, theirs in zip(graph.outputs, parsed.outputs, strict=True):
            got = actual.tensors[theirs].reshape(expected.tensors[ours].shape)
            comparison = compare({ours: expected.tensors[ours]}, {ours: got}, graph)
            if not comparison.equal:
                raise CheckFailure(f"network '{case.name}': {comparison.explain()}")
