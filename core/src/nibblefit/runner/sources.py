"""What a run takes from outside the plugins: the task, the data, the network, the device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nibblefit.errors import InputError, UnsupportedError, listed
from nibblefit.hooks import DataReader, ModelFormat, RefusedFormat, TargetInfo
from nibblefit.recipe import Recipe
from nibblefit.recipe_file import digest_of

if TYPE_CHECKING:
    from nibblefit.data.source import DataSource
    from nibblefit.ir.graph import Graph
    from nibblefit.tasks.protocol import Task


class Sources(Protocol):
    """Makes what steps work on. Asked only when a step really runs, or a gate needs its metric."""

    def device(self, recipe: Recipe) -> str:
        """Return the torch device."""

    def task(self, recipe: Recipe, info: TargetInfo) -> Task:
        """Return the recipe's task for its data."""

    def data(self, recipe: Recipe, info: TargetInfo) -> DataSource:
        """Return the recipe's data, scaled as the target expects."""

    def calibration(self, recipe: Recipe, info: TargetInfo) -> DataSource | None:
        """Return the data of ``[calibration]``; asked only where the recipe names some."""

    def network(self, recipe: Recipe, info: TargetInfo) -> Graph:
        """Return the source network as a graph."""


class RecipeSources:
    """Sources that do what the recipe says. Data sets and tasks are made once per setting.

    Args:
        formats: Network files that plugins read or refuse.
        readers: Data sets that plugins bring.
    """

    def __init__(
        self,
        formats: Sequence[ModelFormat | RefusedFormat] = (),
        readers: Sequence[DataReader] = (),
    ) -> None:
        self._made: dict[str, Any] = {}
        self._formats = tuple(formats)
        self._readers = tuple(readers)
        self.notes: list[str] = []

    def device(self, recipe: Recipe) -> str:
        """Return the torch device, and apply the recipe's thread count to this process."""
        import torch

        if recipe.run.threads:
            torch.set_num_threads(recipe.run.threads)
        wanted = recipe.run.device
        if wanted == "cuda" and not torch.cuda.is_available():
            raise InputError(
                "run.device is cuda, but torch finds no GPU here",
                hint="set run.device = 'auto' or 'cpu', or install a CUDA build of torch",
            )
        return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"

    def task(self, recipe: Recipe, info: TargetInfo) -> Task:
        """Return the recipe's task for its data."""
        from nibblefit.tasks import make_task

        key = digest_of(["task", recipe.task, recipe.data, recipe.run.seed, recipe.folder])
        if key not in self._made:
            self._made[key] = make_task(recipe, self.data(recipe, info))
        task: Task = self._made[key]
        return task

    def data(self, recipe: Recipe, info: TargetInfo) -> DataSource:
        """Return the recipe's data."""
        from nibblefit.data import make_data

        key = digest_of(["data", recipe.data, recipe.run.seed, recipe.folder])
        if key not in self._made:
            self._made[key] = make_data(recipe, info.input_range, self._readers)
        data: DataSource = self._made[key]
        return data

    def calibration(self, recipe: Recipe, info: TargetInfo) -> DataSource | None:
        """Return the data that calibrates in place of training samples; None without any."""
        from nibblefit.data.calibration import make_calibration

        if not recipe.calibration.active:
            return None
        samples = recipe.quantize.calibration_samples
        key = digest_of(["calibration", recipe.calibration, samples, recipe.data, recipe.folder])
        if key not in self._made:
            data = self.data(recipe, info)
            self._made[key] = make_calibration(recipe, data, info.input_range, self._readers)
        found: DataSource = self._made[key]
        return found

    def network(self, recipe: Recipe, info: TargetInfo) -> Graph:
        """Return the source network; its random weights follow the recipe's seed.

        Raises:
            UnsupportedError: It has several inputs, which no data set serves.
        """
        import torch

        from nibblefit.nn.load import load_source, states_its_shape

        shape = recipe.model.input_shape
        if not shape and not states_its_shape(recipe.model.source, self._formats):
            shape = tuple(self.data(recipe, info).input_shape)
        self.notes.clear()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.run.seed)
            graph = load_source(
                recipe.model, Path(recipe.folder), shape,
                formats=self._formats, seed=recipe.run.seed, notes=self.notes,
            )  # fmt: skip
        if len(graph.inputs) != 1:
            raise UnsupportedError(
                f"the network of {recipe.model.source} has {len(graph.inputs)} inputs "
                f"({listed(graph.inputs)}); a data set gives one per sample",
                hint="join the inputs along the channels in the data, and take them apart with a "
                "slice in the network",
            )
        return graph
