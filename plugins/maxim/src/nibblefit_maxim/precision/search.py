"""The search step of a run: measure candidates, record each, keep the narrowest good one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from nibblefit.data.source import Split
from nibblefit.errors import LimitError, RecipeError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.models import Model
from nibblefit.run import ProgressBar, Run
from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.memory.planner import try_plan
from nibblefit_maxim.options import MaximOptions, SearchOptions
from nibblefit_maxim.parts import part_named
from nibblefit_maxim.precision.descent import Found, descend
from nibblefit_maxim.precision.record import Candidate, SearchRecord, Widths, name_of
from nibblefit_maxim.qat.network import QatNetwork
from nibblefit_maxim.qat.phases import BITS, EXTRA
from nibblefit_maxim.qat.start import Decisions, Starter
from nibblefit_maxim.settings import LayerSettings, matches

#: File of all candidates in the step's folder; the one in its scratch folder is for resuming.
RECORD = "candidates.json"
_WEIGHTS_RULE = "memory.weights"


def search(run: Run, model: Model) -> Model:
    """Return the model with the widths that were found, its weights unchanged.

    Raises:
        RecipeError: No validation samples, or no layer left to narrow.
        LimitError: The weights do not fit even so.
    """
    options: MaximOptions = run.options
    if options.search is None:
        raise RecipeError("target.search is not set", hint="search = {bits = [8, 4], ...}")
    if len(run.data.split(Split.VALIDATION)) == 0:
        raise RecipeError(
            "target.search needs validation samples", hint="set data.validation to 0.1"
        )
    starter = Starter.of(run)
    started, decisions = starter.start(model)
    fused = starter.fused(started.graph)
    weights = _free_layers(run, started.graph, fused, decisions)
    record = SearchRecord(run.scratch / RECORD, _key(run, started.graph, decisions))
    if record.resumed:
        run.reporter.say(f"{run.step}: going on after {record.resumed} measurements")
    widths = options.search.widths
    most = 2 * len(weights) * (len(widths) - 1) + 1
    with run.reporter.progress(f"{run.step}: candidates", most) as bar:
        judge = _Judge(run, options.search, started, decisions, fused, weights, record, bar)
        found = descend(weights, widths, options.search.max_drop, judge.measure)
    check_memory(run, fused, decisions, found.widths)
    _report(run, record, found, weights, options.search)
    facts = {**model.extra.get(EXTRA, {}), BITS: frozen_mapping(dict(found.widths))}
    tables = (*model.extra.get("tables", ()), record.table(run.task.metric))
    return replace(
        model,
        extra=frozen_mapping({**model.extra, EXTRA: frozen_mapping(facts), "tables": tables}),
    )


def _free_layers(
    run: Run, graph: Graph, fused: FusedNetwork, decisions: Decisions
) -> dict[str, int]:
    """Return the number of weights of each layer whose width the recipe leaves open."""
    set_by_recipe = [
        pattern for pattern, values in run.recipe.quantize.layers.items() if "weight_bits" in values
    ]
    found = {
        layer.name: int(graph.constants[layer.weight].size)
        for layer in fused.layers
        if layer.name in decisions.settings
        and not any(matches(layer.name, pattern) for pattern in set_by_recipe)
    }
    if not found:
        raise RecipeError(
            "target.search has no layer to narrow",
            hint="[quantize.layers] sets weight_bits of every layer; remove some",
        )
    return found


def _key(run: Run, graph: Graph, decisions: Decisions) -> str:
    """Return a digest of everything that a measurement depends on."""
    options: MaximOptions = run.options
    digest = hashlib.sha256(options.model_dump_json().encode())
    digest.update(run.recipe.train_for(run.step).model_dump_json().encode())
    digest.update(repr((run.seed, sorted(decisions.thresholds.items()))).encode())
    digest.update(repr(sorted(decisions.settings.items())).encode())
    for name, values in sorted(graph.constants.items()):
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest()


@dataclass(slots=True)
class _Judge:
    """Measures candidates of one search."""

    run: Run
    options: SearchOptions
    model: Model
    decisions: Decisions
    fused: FusedNetwork
    weights: Mapping[str, int]
    record: SearchRecord
    bar: ProgressBar

    def measure(
        self, widths: Widths, why: str, layer: str, bits: int, floor: float | None
    ) -> float:
        """Return a candidate's metric, higher is better, and record it."""
        name = name_of(widths)
        epochs = 0 if why == "sensitivity" else self.options.epochs
        metric = self.record.metric(name, epochs)
        if metric is None:
            metric = self._trained(widths, name, epochs) if epochs else self._quantized(widths)
        sign = 1.0 if self.run.task.maximize else -1.0
        total = sum(widths[layer] * count for layer, count in self.weights.items())
        accepted = why == "start" or (floor is not None and sign * metric >= floor)
        self.record.add(Candidate(name, why, layer, bits, metric, total, accepted, epochs))
        self.bar.advance(1, metric=metric, kilobytes=total / 8192)
        return sign * metric

    def _network(self, widths: Widths) -> QatNetwork:
        settings = with_widths(self.decisions.settings, widths, self.options)
        return QatNetwork(self.model.graph, self.fused, settings, self.decisions.thresholds)

    def _quantized(self, widths: Widths) -> float:
        return self._judged(self._network(widths))

    def _judged(self, network: QatNetwork) -> float:
        from nibblefit.training.evaluation import evaluate_float

        run = self.run
        report = evaluate_float(
            network.to(run.device), run.task, run.data, Split.VALIDATION,
            run.recipe.evaluate.batch_size, self.options.samples,
        )  # fmt: skip
        return float(report.metrics[run.task.metric])

    def _trained(self, widths: Widths, name: str, epochs: int) -> float:
        """Return the metric after a short quantized training, resumable on its own."""
        from nibblefit.training.fit import fit

        run = self.run
        place = run.scratch / name
        place.mkdir(parents=True, exist_ok=True)
        settings = run.recipe.train_for(run.step).model_copy(update={"epochs": epochs})
        inner = replace(run, folder=place, scratch=place)
        result = fit(
            inner, self._network(widths), run.task, run.data, settings, (), self.model.masks
        )
        if not isinstance(result.network, QatNetwork):
            raise RecipeError("an extension replaced the network during the search")
        return self._judged(result.network)


def with_widths(
    settings: Mapping[str, LayerSettings], widths: Widths, search: SearchOptions
) -> dict[str, LayerSettings]:
    """Return the settings with other weight widths for some layers."""
    return {
        name: one.with_width(search.named(widths[name])) if name in widths else one
        for name, one in settings.items()
    }


def check_memory(run: Run, fused: FusedNetwork, decisions: Decisions, widths: Widths) -> None:
    """Refuse widths whose weights the device cannot hold.

    Raises:
        LimitError: Says what is short.
    """
    from nibblefit_maxim.preparation import layer_needs

    part = part_named(run.part)
    options: MaximOptions = run.options
    settings = decisions.settings
    if options.search is not None:
        settings = with_widths(settings, widths, options.search)
    _, shortages = try_plan(layer_needs(fused, settings), part, fused.input)
    lines = [shortage.line() for shortage in shortages if shortage.rule == _WEIGHTS_RULE]
    if lines:
        raise LimitError(
            f"the narrowest weights within target.search.max_drop do not fit the {part.title}\n"
            + "\n".join(f"  • {line}" for line in lines),
            hint="raise target.search.max_drop, allow fewer bits, or set target.search.epochs",
        )


def _report(
    run: Run,
    record: SearchRecord,
    found: Found,
    weights: Mapping[str, int],
    search: SearchOptions,
) -> None:
    sign = 1.0 if run.task.maximize else -1.0
    total = sum(found.widths[layer] * count for layer, count in weights.items())
    before = search.widths[0] * sum(weights.values())
    facts = {
        "metric": run.task.metric,
        "start": sign * found.start,
        "found": sign * found.metric,
        "widths": {layer: search.named(bits) for layer, bits in found.widths.items()},
        "weight_bytes": total / 8,
        "weight_bytes_at_widest": before / 8,
    }
    record.write(run.folder / RECORD, facts)
    chosen = ", ".join(f"{layer} {search.named(bits)}" for layer, bits in found.widths.items())
    run.reporter.say(
        f"{run.step}: {chosen} bits; {total / 8192:.1f} KiB of weights, {run.task.metric} "
        f"{sign * found.metric:.4g} after {len(record.candidates)} candidates"
    )
