"""Names of ours for the operators of an ``xmodel``, kept beside the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nibblefit.errors import InputError
from nibblefit.ir.graph import frozen_mapping


@dataclass(frozen=True, slots=True)
class OurNames:
    """What an ``xmodel`` itself cannot say.

    Attributes:
        tensors: XIR operator → tensor or constant of ours that it makes or holds.
        layers: XIR operator → node of ours that ends with it.
        outputs: XIR operators whose results are the network's outputs, in order.
    """

    tensors: Mapping[str, str] = field(default_factory=frozen_mapping)
    layers: Mapping[str, str] = field(default_factory=frozen_mapping)
    outputs: tuple[str, ...] = ()

    def as_json(self) -> str:
        """Return the text of a file of names."""
        body = {"tensors": dict(self.tensors), "layers": dict(self.layers),
                "outputs": list(self.outputs)}  # fmt: skip
        return json.dumps(body, indent=1) + "\n"


def names_from(text: str, file: str) -> OurNames:
    """Return the names in a file's text.

    Raises:
        InputError: It is no file of names.
    """
    try:
        body: Any = json.loads(text)
        tensors, layers = (dict(body[key]) for key in ("tensors", "layers"))
        outputs = tuple(body["outputs"])
    except (ValueError, KeyError, TypeError) as problem:
        raise InputError(f"{file} holds no names of an xmodel: {problem}",
                         hint="run the compile stage again") from problem  # fmt: skip
    words = (*tensors.values(), *layers.values(), *outputs)
    if not all(isinstance(word, str) for word in words):
        raise InputError(f"{file}: a name is no text", hint="run the compile stage again")
    return OurNames(frozen_mapping(tensors), frozen_mapping(layers), outputs)
