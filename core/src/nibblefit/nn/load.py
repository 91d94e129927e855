"""`load_source`: the recipe's [model] section becomes the canonical graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nibblefit.errors import InputError, UnsupportedError
from nibblefit.hooks import ModelFormat, ModelRequest, RefusedFormat
from nibblefit.ir.graph import Graph, Shape
from nibblefit.nn.builder import frozen
from nibblefit.nn.capture import capture
from nibblefit.nn.onnx_import import import_onnx
from nibblefit.nn.sources.factories import build_module, factory_file
from nibblefit.nn.sources.mismatch import fitting_names
from nibblefit.nn.sources.pickled import refuse_pickled
from nibblefit.nn.sources.state_dicts import apply_state_dict, read_state_dict
from nibblefit.recipe import ModelSection

#: Factory names that say less than the name of their file.
_VAGUE = frozenset({"build", "create", "factory", "make", "model", "network"})


Formats = Sequence[ModelFormat | RefusedFormat]


def load_source(
    section: ModelSection, folder: Path, input_shape: Shape, *, formats: Formats = (),
    seed: int = 1, notes: list[str] | None = None,
) -> Graph:  # fmt: skip
    """Return the graph of a recipe's network.

    Args:
        section: The recipe's [model].
        folder: Folder that relative paths start from.
        input_shape: Shape of one sample of the data set, without batch axis; used where the
            section states none. Empty where there is no data set.
        formats: What plugins read, or refuse, beside factories and ONNX.
        seed: For weights that a file of a plugin's format leaves open; a factory's come from
            torch's own generator.
        notes: Sentences for the user are added here: weights that do not fit, and what a reader
            left out.

    Raises:
        InputError: A file, factory or state dict is missing, damaged or does not fit.
        UnsupportedError: The network holds something that cannot be represented.
    """
    shape = tuple(section.input_shape) or tuple(input_shape)
    told: list[str] = [] if notes is None else notes
    weights = folder / section.weights if section.weights else None
    if section.fresh and weights is None:
        raise InputError(
            "model.fresh is set, but there are no weights that it could leave out",
            hint="name them in model.weights, or leave model.fresh out",
        )
    file = folder / section.source
    for path in filter(None, (file, weights)):
        _check_reachable(path)
    refuse_pickled(file)
    if section.source.lower().endswith(".onnx"):
        return _from_onnx(section, file, weights, shape, told)
    found = format_of(section.source, formats)
    if isinstance(found, RefusedFormat):
        raise UnsupportedError(f"{file} is {found.summary}, which is not read", hint=found.hint)
    if found is not None:
        stated = tuple(section.input_shape)
        request = ModelRequest(file, weights, stated, section.arguments, seed, section.match, told)
        return _from_plugin(found, request, fresh=bool(section.fresh))
    return _from_factory(section, folder, weights, shape, told)


def format_of(source: str, formats: Formats) -> ModelFormat | RefusedFormat | None:
    """Return the plugin's format that a source's suffix names, if any; the longest suffix wins."""
    ends = [(len(end), i) for i, f in enumerate(formats) for end in f.suffixes
            if source.lower().endswith(end)]  # fmt: skip
    return formats[max(ends)[1]] if ends else None


def states_its_shape(source: str, formats: Formats = ()) -> bool:
    """Return whether a source is a file that says itself how large its input is."""
    return source.lower().endswith(".onnx") or format_of(source, formats) is not None


def _check_reachable(path: Path) -> None:
    """Refuse a path that may not even be looked at; whether it exists is asked later."""
    try:
        path.is_file()
    except OSError as problem:
        raise InputError(
            f"{path} cannot be read: {problem.strerror}", hint="check its folder's permissions"
        ) from problem


def _name(source: str) -> str:
    """Return a short name: the factory, or the file where the factory's name says nothing."""
    place, _, factory = source.rpartition(":")
    file = factory_file(source)
    stem = Path(file).stem if file else place.rpartition(".")[2]
    return stem if factory in _VAGUE else factory


def _check_exists(file: Path, key: str = "model.source") -> None:
    if not file.is_file():
        kind = "network file" if key == "model.source" else "weights file"
        raise InputError(
            f"{kind} {file} does not exist",
            hint=f"correct {key}; relative paths start at the recipe's folder",
        )


def _from_plugin(found: ModelFormat, request: ModelRequest, *, fresh: bool) -> Graph:
    _check_exists(request.source)
    if fresh:
        raise InputError(
            f"model.fresh does not apply to {request.source}, whose format a plugin reads",
            hint="leave model.fresh out; model.match = 'by_name' takes what fits",
        )
    if request.weights is not None:
        _check_exists(request.weights, "model.weights")
    return found.read(request)


def _from_factory(
    section: ModelSection, folder: Path, weights: Path | None, shape: Shape, told: list[str]
) -> Graph:
    module = build_module(section.source, folder, section.arguments)
    if weights is not None:
        state = read_state_dict(weights)
        partly = None if section.match == "all" else told
        apply_state_dict(module, state, weights, partly, fresh=section.fresh, told=told)
    if not shape:
        raise InputError(
            f"the input shape of network '{section.source}' is not known",
            hint="state model.input_shape, such as [1, 28, 28] (channels first, no batch axis)",
        )
    return capture(module, shape, name=_name(section.source))


def _from_onnx(
    section: ModelSection, file: Path, weights: Path | None, shape: Shape, told: list[str]
) -> Graph:
    _check_exists(file)
    graph = import_onnx(file, input_shape=shape or None)
    if weights is None:
        return graph
    values = {name: np.asarray(t.double().numpy()) for name, t in read_state_dict(weights).items()}
    fitting = fitting_names(
        {name: value.shape for name, value in graph.constants.items()},
        {name: value.shape for name, value in values.items()},
        network=str(file), weights=str(weights),
        partly=None if section.match == "all" else told, fresh=section.fresh, told=told,
    )  # fmt: skip
    return graph.with_constants({name: frozen(values[name]) for name in fitting})
