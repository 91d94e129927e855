"""Model formats and data readers of plugins: their fields, and that nobody claims a word twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from nibblefit.errors import PluginError
from nibblefit.hooks import DataReader, ModelFormat, RefusedFormat

#: Ends of ``model.source`` that core reads, or refuses unread, itself.
_OF_CORE = frozenset({".onnx", ".py", ".pt", ".pth", ".pkl", ".npz", ".safetensors"})
_SUFFIX = re.compile(r"(\.[a-z0-9_]+)+")
_NAME = re.compile(r"[a-z][a-z0-9_-]*")


def checked_formats(found: Iterable[Any]) -> tuple[ModelFormat | RefusedFormat, ...]:
    """Return what `model_formats` gave, after checking it.

    Raises:
        PluginError: A value of another type, a malformed suffix, or one that is taken.
    """
    formats: list[ModelFormat | RefusedFormat] = []
    taken: dict[str, str] = dict.fromkeys(_OF_CORE, "nibblefit")
    for item in _items(found, "model_formats", ModelFormat | RefusedFormat):
        for suffix in _texts(item.suffixes, item.summary):
            _claim(taken, suffix, item.summary, _SUFFIX, "suffix")
        if isinstance(item, ModelFormat):
            _check_callable(item.read, item.summary)
        formats.append(item)
    return tuple(formats)


def checked_readers(found: Iterable[Any]) -> tuple[DataReader, ...]:
    """Return what `data_readers` gave, after checking it.

    Raises:
        PluginError: A value of another type, a malformed name, or one that is taken.
    """
    from nibblefit.data.catalog import SOURCES

    readers: list[DataReader] = []
    taken: dict[str, str] = dict.fromkeys(SOURCES, "nibblefit")
    for item in _items(found, "data_readers", DataReader):
        _claim(taken, item.name, item.summary, _NAME, "data source")
        _check_callable(item.read, item.summary)
        if not (isinstance(item.options, type) and issubclass(item.options, BaseModel)):
            raise PluginError(f"options of data source '{item.name}' are no pydantic model class")
        readers.append(item)
    return tuple(readers)


def _items(found: Iterable[Any], hook: str, kinds: Any) -> Iterator[Any]:
    for several in found:
        if not isinstance(several, list | tuple):
            raise PluginError(f"{hook} returned a {type(several).__name__}, expected a sequence")
        for item in several:
            if not isinstance(item, kinds):
                raise PluginError(f"{hook} returned a {type(item).__name__}; expected {kinds}")
            yield item


def _texts(value: Any, summary: str) -> tuple[str, ...]:
    if not (isinstance(value, tuple) and value and all(isinstance(v, str) for v in value)):
        raise PluginError(f"suffixes of '{summary}' are {value!r}, expected a tuple of texts")
    return value


def _claim(taken: dict[str, str], word: str, owner: str, form: re.Pattern[str], what: str) -> None:
    if not (isinstance(word, str) and form.fullmatch(word)):
        raise PluginError(f"{what} {word!r} of '{owner}' is malformed; expected lower case")
    if word in taken:
        raise PluginError(f"{what} '{word}' of '{owner}' belongs to '{taken[word]}' already")
    taken[word] = owner


def _check_callable(read: Callable[..., Any], summary: str) -> None:
    if not callable(read):
        raise PluginError(f"read of '{summary}' cannot be called")
