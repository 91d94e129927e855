"""One text for equal values: canonical JSON, and the digests made from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from nibblefit.recipe import Recipe

#: Where a recipe lies on disk says nothing about what it asks for.
WHEREABOUTS = frozenset({"folder", "file"})


def plain(value: Any) -> Any:
    """Return a value as plain JSON types: pydantic models, mappings and sequences unwrapped."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    return value


def canonical_json(value: Any) -> str:
    """Return JSON that is equal for equal values: sorted keys, no spaces, no NaN.

    Raises:
        TypeError, ValueError: `value` holds something JSON cannot say.
    """
    return json.dumps(
        plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True
    )


def digest_of(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def recipe_digest(recipe: Recipe) -> str:
    """Return the digest of what a recipe asks for, wherever its file lies."""
    return digest_of(recipe.model_dump(mode="json", exclude=set(WHEREABOUTS)))
