"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

Recipe = Annotated[Path, typer.Argument(help="Recipe file, see `nibblefit init`.")]
Run = Annotated[Path, typer.Argument(help="Run folder, such as runs/recipe.")]
Folder = Annotated[
    Optional[Path],  # noqa: UP045 - the option parser reads this at run time
    typer.Option("--folder", "-o", help="Run folder; runs/NAME of the recipe if left out."),
]
Settings = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a recipe key, such as train.epochs=3. May be repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, progress to stderr.")]
Target = Annotated[
    str, typer.Option("--target", "-t", help="Target plugin; `nibblefit targets` lists them.")
]
Part = Annotated[
    str, typer.Option("--part", help="Device of the target; its first one if left out.")
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="'path/file.py:factory', 'package.module:factory' or 'net.onnx'. Left out: a small "
        "network.py is written beside the recipe.",
    ),
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        "-d",
        help="'digits', or kind:path with the kinds idx, folder, npz and python, such as "
        "'idx:data/mnist'.",
    ),
]
InputShape = Annotated[
    str,
    typer.Option(
        "--input-shape",
        metavar="C,H,W",
        help="Shape of one input, channels first, such as 1,28,28. Left out: INPUT_SHAPE of the "
        "network's file; an ONNX file knows its own.",
    ),
]
