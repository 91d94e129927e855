"""From a device and the options of a target to what its networks are judged for."""

from __future__ import annotations

from nibblefit.ir.graph import Graph, Node
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit_tidl.classic.numerics import numerics_of as classic_numerics
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.current.numerics import numerics_of as current_numerics
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.devices import ClassicDevice, Device
from nibblefit_tidl.front.stage import check_front
from nibblefit_tidl.sparsity.options import StageOptions
from nibblefit_tidl.tables.judging import Setting, judge, refuse


def current_setting(device: Device, options: TidlOptions) -> Setting:
    """Return the setting of a C7x-MMA device.

    Which operators there are does not depend on the quantization, so its simplest form stands for
    all; what a device refuses of a quantization is said by the recipe's check.
    """
    wide = set(options.output_feature_16bit_names)

    def bits_of(node: Node) -> int:
        named = node.name in wide or not wide.isdisjoint(node.outputs)
        return 16 if options.tensor_bits == 16 or named else 8

    return Setting("current", device.name, current_numerics(device, 1), options.release, bits_of)


def classic_setting(device: ClassicDevice, options: ClassicOptions | None = None) -> Setting:
    """Return the setting of an EVE and DSP device.

    Args:
        device: The device.
        options: They decide the width of weights, but not what runs.
    """
    return Setting("classic", device.name, classic_numerics(options or ClassicOptions()))


def prepare(run: Run, graph: Graph, setting: Setting) -> Model:
    """Refuse what the device cannot run, and warn if the asked sparsity is out of reach.

    Raises:
        UnsupportedError: Lists every layer that cannot run, with reason and rewrite.
        RecipeError: ``[prune.layers]`` names a layer that is not there.
    """
    from nibblefit.defaults.prepare import prepare as core_prepare

    seen = check_front(run, graph)
    refuse(judge(seen, setting), run.recipe.target.name, setting.device)
    for line in _out_of_reach(run, graph):
        run.reporter.warn(line)
    return core_prepare(run, graph, setting.numerics)


def _out_of_reach(run: Run, graph: Graph) -> list[str]:
    """Return why the sparse stage will end below its target; nothing where there is no stage."""
    options: StageOptions = run.options
    if not options.sparsify:
        return []
    from nibblefit_tidl.sparsity.reaching import obstacles
    from nibblefit_tidl.sparsity.regularizing import planned_steps

    highest = max(options.search, default=options.sparsity.target)
    asked = options.sparsity.model_copy(update={"target": highest})
    steps = planned_steps(run, "sparse")
    return obstacles(graph, asked.schedule(steps), steps)
