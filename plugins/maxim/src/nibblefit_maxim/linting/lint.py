"""Lint one network description, with or without its checkpoint and sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nibblefit.errors import InputError
from nibblefit.ir.graph import Shape
from nibblefit_maxim.linting.sample import beside, load_sample
from nibblefit_maxim.parts import Part
from nibblefit_maxim.reading.checkpoint import LayerParameters, read_checkpoint
from nibblefit_maxim.reading.entries import collect_entries
from nibblefit_maxim.reading.entry import NetworkEntry
from nibblefit_maxim.reading.network import check_arch, check_network, yaml_text
from nibblefit_maxim.reading.placement import check_placement
from nibblefit_maxim.reading.problems import Problem, Problems
from nibblefit_maxim.reading.streaming import check_streaming
from nibblefit_maxim.rules import RULES, Severity


@dataclass(frozen=True, slots=True)
class Lint:
    """What the linter found.

    Attributes:
        file: Name of the YAML.
        part: Title of the device.
        findings: By line; those of the file as a whole first.
    """

    file: str
    part: str
    findings: tuple[Problem, ...]

    def of(self, severity: Severity) -> tuple[Problem, ...]:
        """Return the findings of one severity."""
        return tuple(item for item in self.findings if item.rule.severity is severity)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Findings that make the file unusable."""
        return self.of(Severity.ERROR)

    @property
    def summary(self) -> str:
        """Return a line such as ``net.yaml for the MAX78000: 2 errors, 1 warning``."""
        counts = [
            f"{count} {severity}{'s' * (count != 1)}"
            for severity in Severity
            if (count := len(self.of(severity)))
        ]
        return f"{self.file} for the {self.part}: {', '.join(counts) or 'nothing found'}"


@dataclass(frozen=True, slots=True)
class LintOptions:
    """What the compiler would be called with.

    Attributes:
        checkpoint: The integer checkpoint; None takes channel counts from the maps.
        sample: Sample input; None looks for ``sample_DATASET.npy`` beside the YAML.
        input_shape: Shape of the input where there is no sample, (channels, *spatial).
        fifo: ``--fifo``.
        overlap: ``--overlap-data``.
    """

    checkpoint: Path | None = None
    sample: Path | None = None
    input_shape: Shape = ()
    fifo: bool = False
    overlap: bool = False


def lint_file(path: Path, part: Part, options: LintOptions | None = None) -> Lint:
    """Return everything wrong with a network YAML and the files that belong to it.

    Args:
        path: The YAML.
        part: The device.
        options: See `LintOptions`.

    Raises:
        InputError: A file is missing or unreadable.
    """
    chosen = options or LintOptions()
    text = yaml_text(path)
    problems = Problems(path.name)
    try:
        entry = collect_entries(text, part, problems)
    except InputError as error:
        where, _, message = error.what.partition(": ")
        line = where.rpartition(":")[2]
        problems.add(int(line) if line.isdigit() else 0, "yaml-syntax", message, error.hint)
        return _sorted(problems, part)
    parameters = _parameters(chosen.checkpoint, entry, problems)
    shape = _input_shape(path, entry, chosen, problems)
    if shape:
        resolver = check_network(
            entry, parameters, shape, part, problems, fifo=chosen.fifo, overlap=chosen.overlap
        )
        _note_unknown(entry, resolver.unknown, problems)
    elif entry.layers:
        check_placement(entry, (), part, problems)
        check_streaming(entry, (), part, problems, fifo=chosen.fifo)
    return _sorted(problems, part)


def _sorted(problems: Problems, part: Part) -> Lint:
    order = list(RULES)
    found = sorted(problems.found, key=lambda item: (item.line, order.index(item.rule.name)))
    return Lint(problems.file, part.title, tuple(found))


def _parameters(
    path: Path | None, entry: NetworkEntry, problems: Problems
) -> tuple[LayerParameters, ...] | None:
    if path is None:
        problems.add(0, "checkpoint-absent", "no checkpoint was given")
        return None
    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist", hint="give the path of a .pth.tar")
    try:
        checkpoint = read_checkpoint(path)
    except InputError as error:
        problems.add(0, "checkpoint-unreadable", error.what, error.hint)
        return None
    check_arch(entry, checkpoint, problems)
    if checkpoint.normed:
        problems.add(
            0,
            "batch-norm",
            f"checkpoint {checkpoint.file} has one-dimensional weights: "
            f"{', '.join(checkpoint.normed)}",
        )
    return checkpoint.layers


def _input_shape(
    path: Path, entry: NetworkEntry, options: LintOptions, problems: Problems
) -> Shape:
    place = options.sample or (None if options.input_shape else beside(path, entry.dataset))
    if place is not None:
        sample = load_sample(place, problems)
        if sample is not None:
            return tuple(sample.shape)
    elif not options.input_shape:
        problems.add(0, "input-unknown", "the shape of the input is not known")
    return options.input_shape


def _note_unknown(entry: NetworkEntry, unknown: set[str], problems: Problems) -> None:
    passed_over = [layer.title for layer in entry.layers if layer.name in unknown]
    if passed_over:
        problems.add(
            0,
            "not-followed",
            f"shapes and memory of {', '.join(passed_over)} were not checked",
        )
