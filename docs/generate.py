"""Write the reference pages from the code, or check that they are up to date.

Run from anywhere::

    python docs/generate.py            # write docs/reference/
    python docs/generate.py --check    # exit 1 and name the pages that are stale

Every plugin of this repository must be installed: the recipe page lists their options.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
CORE = ROOT / "core" / "src"

#: Modules (with everything below them) whose public names keep their meaning between releases.
CONTRACT = (
    "nibblefit.errors", "nibblefit.fixed", "nibblefit.ir", "nibblefit.results", "nibblefit.charts",
    "nibblefit.models", "nibblefit.plan", "nibblefit.recipe", "nibblefit.recipe_file",
    "nibblefit.workspace", "nibblefit.run", "nibblefit.hooks", "nibblefit.data.source",
    "nibblefit.tasks.protocol", "nibblefit.training.parts", "nibblefit.defaults",
    "nibblefit.plugins", "nibblefit.runner", "nibblefit.report.build",
    "nibblefit.conformance.decorator", "nibblefit.conformance.records",
    "nibblefit.conformance.table",
)  # fmt: skip

_HEAD = "<!-- Written by docs/generate.py; change the code instead. -->\n\n"


def pages() -> dict[str, str]:
    """Return file name → text of every generated page."""
    return {
        "recipe.md": recipe_page(),
        "hooks.md": hooks_page(),
        "cli.md": cli_page(),
        "api.toml": api_manifest(),
    }


def main(arguments: list[str]) -> int:
    """Write or check the pages; return the exit code."""
    check = "--check" in arguments
    stale = []
    for name, text in pages().items():
        path = REFERENCE / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            REFERENCE.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    verb = "stale" if check else "written"
    sys.stdout.write("".join(f"{verb}: docs/reference/{name}\n" for name in stale))
    return 1 if check and stale else 0


# --- recipe ------------------------------------------------------------------------------------


def recipe_page() -> str:
    """Return the recipe reference: every key with type, default and description."""
    from nibblefit.cli.recipe_text import SECTIONS
    from nibblefit.plugins import list_targets, load_target
    from nibblefit.recipe import Recipe

    intro = (
        "A recipe is a TOML file. Keys that are left out have the default shown; unknown keys are "
        "refused. Relative paths start at the recipe's folder."
    )
    lines = ["# Recipe reference", "", intro, ""]
    for section in SECTIONS:
        schema = Recipe.model_fields[section].annotation
        lines += [f"## [{section}]", "", _first_paragraph(schema), ""]
        lines += [*_key_table(schema.model_fields), ""]  # type: ignore[union-attr]
        if section == "target":
            for entry in sorted(list_targets(), key=lambda entry: entry.name):
                lines += _target_options(load_target(entry.name).info)
    return _HEAD + "\n".join(lines).rstrip() + "\n"


def _target_options(info: Any) -> list[str]:
    parts = f" Parts: {', '.join(f'`{part}`' for part in info.parts)}." if info.parts else ""
    unread = [f"* `{key}`: {instead}" for key, instead in sorted(info.unread.items())]
    refused = ["Keys of other sections that this target never reads, and refuses:", "", *unread, ""]
    return [f"### Options of target `{info.name}`", "", f"{info.summary.rstrip('.')}.{parts}", "",
            *(_key_table(info.options.model_fields) or ["No options."]), "",
            *(refused if unread else [])]  # fmt: skip


def _key_table(fields: Mapping[str, Any]) -> list[str]:
    from nibblefit.cli.recipe_text import default_of, toml_value

    if not fields:
        return []
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in fields.items():
        default = default_of(field)
        if field.is_required():
            shown = "required"
        elif default is None:
            shown = "unset"
        else:
            shown = f"`{_cell(toml_value(default))}`"
        rows.append(f"| `{name}` | {_cell(_type_text(field))} | {shown} | "
                    f"{_cell(field.description or '')} |")  # fmt: skip
    return rows


def _type_text(field: Any) -> str:
    """Return a field's type in TOML's words, with its range."""
    text = _annotation_text(field.annotation)
    bounds = [f"{sign} {getattr(item, key):g}" for item in field.metadata
              for key, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
              if getattr(item, key, None) is not None]  # fmt: skip
    return f"{text} {' and '.join(bounds)}".strip()


def _annotation_text(annotation: Any) -> str:
    import types
    import typing

    from nibblefit.cli.recipe_text import toml_value

    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _annotation_text(inner[0])
    if origin is typing.Literal:
        return "one of " + ", ".join(toml_value(item) for item in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_annotation_text(i) for i in inner if i is not type(None))
    if origin in (tuple, list):
        return f"list of {_annotation_text(inner[0])}"
    if origin is dict:
        return "table"
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "any"}
    if isinstance(annotation, type) and issubclass(annotation, str) and annotation is not str:
        return "one of " + ", ".join(f'"{item}"' for item in annotation)  # type: ignore[var-annotated]
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _first_paragraph(thing: Any) -> str:
    return " ".join(inspect.cleandoc(thing.__doc__ or "").split("\n\n")[0].split())


# --- hooks -------------------------------------------------------------------------------------


def hooks_page() -> str:
    """Return the hook reference: every specification with signature and text."""
    from nibblefit import hooks

    lines = ["# Hook reference", "", inspect.cleandoc(hooks.__doc__ or ""), "",
             f"Contract version: **{hooks.API}**.", ""]  # fmt: skip
    groups = (hooks.StageSpecs, hooks.TargetSpecs, hooks.ContributionSpecs, hooks.CommandSpecs)
    for group in groups:
        lines += [f"## {group.__name__}", "", inspect.cleandoc(group.__doc__ or ""), ""]
        for name, spec in vars(group).items():
            if hasattr(spec, "nibblefit_spec"):
                lines += [f"### {name}", "", "```python", f"def {name}{_signature(spec)}", "```",
                          "", inspect.cleandoc(spec.__doc__ or ""), ""]  # fmt: skip
    contributed = (hooks.ModelFormat, hooks.ModelRequest, hooks.RefusedFormat, hooks.DataReader)
    for data in (hooks.TargetInfo, hooks.Target, hooks.Hooks, *contributed):
        lines += [f"## {data.__name__}", "", inspect.cleandoc(data.__doc__ or ""), ""]
    return _HEAD + "\n".join(lines).rstrip() + "\n"


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    kept = [p for name, p in signature.parameters.items() if name != "self"]
    return str(signature.replace(parameters=kept)).replace("'", "")


# --- command line ------------------------------------------------------------------------------


def cli_page() -> str:
    """Return the command reference: what ``--help`` says, as a page."""
    from typer.main import get_command

    from nibblefit.cli.app import app

    group: Any = get_command(app)
    lines = ["# Command reference", "", inspect.cleandoc(group.help or ""), "",
             *_parameters(group)]  # fmt: skip
    for name, command in group.commands.items():
        arguments = "".join(f" {p.name.upper()}" for p in command.params
                            if p.param_type_name == "argument")  # fmt: skip
        usage = f"nibblefit {name} [OPTIONS]{arguments}"
        lines += [f"## nibblefit {name}", "", "```text", usage, "```", ""]
        lines += [inspect.cleandoc(command.help or ""), "", *_parameters(command)]
    return _HEAD + "\n".join(lines).rstrip() + "\n"


def _parameters(command: Any) -> list[str]:
    rows = ["| option | meaning | default |", "|---|---|---|"]
    for parameter in command.params:
        if parameter.name in {"install_completion", "show_completion"}:
            name = f"`--{parameter.name.replace('_', '-')}`"
        elif parameter.param_type_name == "argument":
            name = f"`{parameter.name.upper()}`"
        else:
            name = ", ".join(f"`{word}`" for word in parameter.opts)
        default = parameter.default
        shown = "" if default in (None, "", False, (), []) or callable(default) else f"`{default}`"
        rows.append(f"| {name} | {_cell(parameter.help or '')} | {shown} |")
    return [*rows, ""] if len(rows) > 2 else []


# --- signatures --------------------------------------------------------------------------------


def api_manifest() -> str:
    """Return the public signatures of the contract as TOML, read from the source's syntax tree."""
    lines = ["# Public signatures, written by docs/generate.py. A change here changes the API.", ""]
    for path in sorted(CORE.rglob("*.py")):
        module = ".".join(path.relative_to(CORE).with_suffix("").parts).removesuffix(".__init__")
        if not any(module == name or module.startswith(f"{name}.") for name in CONTRACT):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        entries = dict(_public(tree.body))
        if entries:
            lines.append(f'["{module}"]')
            lines += [f"{_bare(name)} = {_quoted(text)}" for name, text in sorted(entries.items())]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, str]]:
    for item in body:
        name = getattr(item, "name", "")
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and prefix:
            if not item.target.id.startswith("_"):
                yield f"{prefix}{item.target.id}", ast.unparse(item.annotation)
        elif name.startswith("_") and name != "__init__":
            continue
        elif isinstance(item, ast.FunctionDef):
            returned = f" -> {ast.unparse(item.returns)}" if item.returns else ""
            yield f"{prefix}{name}", f"({ast.unparse(item.args)}){returned}"
        elif isinstance(item, ast.ClassDef):
            bases = ", ".join(ast.unparse(base) for base in item.bases)
            yield f"{prefix}{name}", f"class({bases})"
            yield from _public(item.body, f"{prefix}{name}.")


def _bare(name: str) -> str:
    return _quoted(name) if "." in name else name


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
