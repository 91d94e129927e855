"""Recipe files: TOML in, a validated `Recipe` out, every problem explained with its line."""

from nibblefit.recipe_file.canonical import canonical_json, digest_of, plain, recipe_digest
from nibblefit.recipe_file.reading import (
    check_recipe,
    check_train_steps,
    override_recipe,
    parse_override,
    read_recipe,
    target_options,
)
from nibblefit.recipe_file.toml_text import document_toml, recipe_toml

__all__ = [
    "canonical_json",
    "check_recipe",
    "check_train_steps",
    "digest_of",
    "document_toml",
    "override_recipe",
    "parse_override",
    "plain",
    "read_recipe",
    "recipe_digest",
    "recipe_toml",
    "target_options",
]
