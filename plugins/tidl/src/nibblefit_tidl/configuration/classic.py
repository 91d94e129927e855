"""The classic import configuration: read, checked, written."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from nibblefit_tidl.configuration.assignments import entries_of
from nibblefit_tidl.configuration.assignments import text_of as assignments_text
from nibblefit_tidl.configuration.classic_model import CAFFE, ClassicImport
from nibblefit_tidl.configuration.fields import comments_of, model_of
from nibblefit_tidl.configuration.files import read_text
from nibblefit_tidl.configuration.problems import Problems, Remark, refuse

__all__ = ["ClassicImport", "classic_problems", "classic_text", "parse_classic", "read_classic"]

_REQUIRED = ("sampleInData", "tidlStatsTool", "inputNetFile", "outputNetFile", "outputParamsFile")


def read_classic(path: Path) -> ClassicImport:
    """Return the configuration in a file.

    Raises:
        InputError: It cannot be read, or has problems; lists all with their lines.
    """
    return parse_classic(read_text(path), path.name)


def parse_classic(text: str, file: str = "import configuration") -> ClassicImport:
    """Return the configuration in a text.

    Args:
        text: Assignments; comments and quotes are tolerated.
        file: Name for messages.

    Raises:
        InputError: Unknown keys, values out of range, conflicts; lists all with their lines.
    """
    problems = Problems(file)
    found = model_of(ClassicImport, entries_of(text, problems), problems)
    if found is not None:
        problems.add_all(classic_problems(found))
    problems.raise_if_any()
    assert found is not None  # no model without a problem
    return found


def classic_text(config: ClassicImport, *, explained: bool = True) -> str:
    """Return the file of a configuration.

    Args:
        config: Its given keys are written, the others keep the importer's default.
        explained: Write above each key what it means.

    Raises:
        InputError: The configuration has problems.
    """
    refuse("the import configuration", classic_problems(config))
    comments = comments_of(ClassicImport) if explained else {}
    return assignments_text(config.given().items(), comments)


def classic_problems(config: ClassicImport) -> list[Remark]:
    """Return what is missing and what contradicts itself."""
    given = config.given()
    found = [
        Remark(key, f"'{key}' is missing; the importer needs it", f'add {key} = "path"')
        for key in _REQUIRED if not given.get(key)
    ]  # fmt: skip
    if config.quantization_style == 0:
        found.append(Remark(
            "quantizationStyle", "quantizationStyle 0 takes fractional lengths from training; the "
            "tools refuse it", "write quantizationStyle = 1, or leave it out",
        ))  # fmt: skip
    is_caffe = config.model_type == CAFFE
    if is_caffe and not config.input_params_file and not config.rand_params:
        found.append(Remark(
            "inputParamsFile", "'inputParamsFile' is missing: a Caffe network's weights are in a "
            "file of their own", "add the .caffemodel, or randParams = 1",
        ))  # fmt: skip
    if not is_caffe and config.input_params_file:
        found.append(Remark(
            "inputParamsFile", f"'inputParamsFile' is for Caffe; modelType {config.model_type} "
            "has its weights in inputNetFile", "remove it, or set modelType = 0",
        ))  # fmt: skip
    return [*found, *_group_problems(config.layers_group_id)]


def _group_problems(groups: tuple[int, ...]) -> list[Remark]:
    """Return what is wrong with the placement of layers on processors."""
    runs = [group for group, _ in groupby(groups)]
    inner = runs[1 if runs[:1] == [0] else 0 : -1 if runs[-1:] == [0] else None]
    found = []
    if 0 in inner:
        found.append(Remark(
            "layersGroupId", "layersGroupId has 0 between other layers; 0 is for the data layers "
            "at both ends", "give inner layers 1 (EVE) or 2 (DSP)",
        ))  # fmt: skip
    processors = [group for group in inner if group]
    if len(set(processors)) < len(processors):
        found.append(Remark(
            "layersGroupId", f"layersGroupId visits a processor twice ({processors}); each group "
            "is one run of neighbouring layers", "move the layers between them to the same group",
        ))  # fmt: skip
    return found
