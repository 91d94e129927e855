"""Broken recipes: structured mutations of good ones, reproducible by number."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tomli

from nibblefit.cli.recipe_text import toml_value

Document = dict[str, Any]
#: A table of the document and one of its keys.
Spot = tuple[dict[str, Any], str]

#: Values that fit almost nowhere, or only just.
STRANGE: tuple[Any, ...] = (
    0, 1, -1, 2, 7, 10**6, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.0, 0.5, -0.5, 1.0, 1e-300,
    1e300, float("nan"), float("inf"), float("-inf"), True, False, "", " ", "nan", "0", "a" * 3000,
    "é𝔘\u202e", "../../etc/passwd", "/dev/null", ".", "..", "net.onnx", "x.py:f", ":", "os:system",
    "-", "*", "[", "a\tb\nc", [], [1], [0, 0], [-1, -1], [1, 2, 3, 4, 5, 6], ["x"], [[1, 2], [3]],
    [1.5, "a"], [0.0, 1.0], [1.0, 0.0], [2**70], {}, {"x": 1}, {"x": {"y": {"z": []}}}, {"": 0},
    [{}], [{"a": []}],
)  # fmt: skip
_WORDS = (
    "epochs", "source", "name", "seed", "range", "train_steps", "folder", "file", "qat", "float",
    "phase", "options", "weights", "__class__", "model_config", "ünï", "0", "a b", "kind",
)  # fmt: skip
_RAW = (
    "=", "[", "]]", '"', "'''", "\x00", "\x07", "\n[train]\n", "\n[train.qat\n", "#", "\\",
    "\ufeff", "\n[[train]]\n", "\n[model.source]\n", "2026-01-01", "\r", "{", "1_", "\n= 3\n",
    "💥",
)  # fmt: skip


def mutated(base: str, number: int) -> bytes:
    """Return mutation `number` of a recipe: one to four faults, then sometimes raw damage."""
    chance = random.Random(number)
    document = copy.deepcopy(tomli.loads(base))
    if chance.random() < 0.2:
        text = base
    else:
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            chance.choice(_MUTATIONS)(document, chance)
        text = toml(document)
    if chance.random() < 0.2 or text == base:
        return _damaged(text, chance)
    return text.encode("utf-8", "surrogatepass")


def toml(document: Document) -> str:
    """Return a document as TOML: scalars first, then every table under its own header."""
    return "".join(_table(document, ()))


def _table(table: Document, path: tuple[str, ...]) -> Iterator[str]:
    if path:
        yield f"\n[{'.'.join(toml_value({part: 0})[2:-6] for part in path)}]\n"
    for key, value in table.items():
        if not isinstance(value, dict):
            yield toml_value({key: value})[2:-2] + "\n"
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _table(value, (*path, key))


def _spots(document: Document) -> list[Spot]:
    found: list[Spot] = []
    waiting = [document]
    while waiting:
        table = waiting.pop()
        for key, value in table.items():
            found.append((table, key))
            if isinstance(value, dict):
                waiting.append(value)
    return found


def _delete(document: Document, chance: random.Random) -> None:
    if spots := _spots(document):
        table, key = chance.choice(spots)
        del table[key]


def _retype(document: Document, chance: random.Random) -> None:
    if spots := _spots(document):
        table, key = chance.choice(spots)
        table[key] = copy.deepcopy(chance.choice(STRANGE))


def _set_known(document: Document, chance: random.Random) -> None:
    """Give a key of the schema, absent from the example, a strange value."""
    from nibblefit.cli.recipe_text import SECTIONS
    from nibblefit.recipe import Recipe

    section = chance.choice(SECTIONS)
    schema: Any = Recipe.model_fields[section].annotation
    table = document.setdefault(section, {})
    if isinstance(table, dict):
        table[chance.choice(sorted(schema.model_fields))] = copy.deepcopy(chance.choice(STRANGE))


def _plausible(document: Document, chance: random.Random) -> None:
    """Give a key of the schema a strange value of its own type: read without complaint."""
    from nibblefit.cli.recipe_text import SECTIONS, default_of
    from nibblefit.recipe import Recipe

    section = chance.choice(SECTIONS)
    schema: Any = Recipe.model_fields[section].annotation
    key = chance.choice(sorted(schema.model_fields))
    default = default_of(schema.model_fields[key])
    kind = list if isinstance(default, tuple) or default is None else type(default)
    fitting = [value for value in STRANGE if type(value) in (kind, int if kind is float else kind)]
    table = document.setdefault(section, {})
    if isinstance(table, dict):
        table[key] = copy.deepcopy(chance.choice(fitting or STRANGE))


def _rename(document: Document, chance: random.Random) -> None:
    if spots := _spots(document):
        table, key = chance.choice(spots)
        at = chance.randrange(len(key) + 1)
        table[key[:at] + chance.choice("aeb_0é ") + key[at + 1 :]] = table.pop(key)


def _move(document: Document, chance: random.Random) -> None:
    tables = [table[key] for table, key in _spots(document) if isinstance(table[key], dict)]
    if tables:
        (table, key), goal = chance.choice(_spots(document)), chance.choice([document, *tables])
        value = table.pop(key)
        goal[key] = copy.deepcopy(value)


def _nest(document: Document, chance: random.Random) -> None:
    if spots := _spots(document):
        table, key = chance.choice(spots)
        for _ in range(chance.choice((1, 2, 30))):
            table[key] = {chance.choice(_WORDS): table[key]}


def _add(document: Document, chance: random.Random) -> None:
    tables = [table[key] for table, key in _spots(document) if isinstance(table[key], dict)]
    goal = chance.choice([document, *tables])
    goal[chance.choice(_WORDS)] = copy.deepcopy(chance.choice(STRANGE))


_MUTATIONS: tuple[Callable[[Document, random.Random], None], ...] = (
    _delete, _retype, _retype, _set_known, _plausible, _plausible, _plausible, _plausible,
    _rename, _move, _nest, _add,
)  # fmt: skip


def _damaged(text: str, chance: random.Random) -> bytes:
    """Damage the text itself: repeated lines, pieces put in, cut off, or bytes at random."""
    kind = chance.randrange(5)
    lines = text.splitlines(keepends=True)
    if kind == 0 and lines:
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(lines))
        return "".join(lines).encode()
    if kind == 1:
        at = chance.randrange(len(text) + 1)
        return (text[:at] + chance.choice(_RAW) + text[at:]).encode()
    if kind == 2:
        return text.encode()[: chance.randrange(len(text.encode()) + 1)]
    if kind == 3:
        return text.encode() + b"\nx = " + b"[" * 3000
    content = bytearray(text.encode())
    for _ in range(chance.randint(1, 20)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


def example_texts(root: Path, folder: Path) -> list[str]:
    """Return the example recipes; their network is copied to where the mutations will lie."""
    networks = folder / "networks"
    networks.mkdir(exist_ok=True)
    code = (root / "examples/networks/digits_cnn.py").read_bytes()
    (networks / "digits_cnn.py").write_bytes(code)
    return [path.read_text("utf-8") for path in sorted((root / "examples").glob("*.toml"))]
