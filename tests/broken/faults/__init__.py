"""Toy targets, each correct but for one fault, and the check that must catch it."""

from __future__ import annotations

from nibblefit_toychip import ToyChip
from tests.broken.faults.declarations import (
    BrokenPlan,
    IgnoresSilently,
    MisspeltHook,
    NewerContract,
    PrunesUndeclared,
    SilentOptions,
    TooMuchDeclared,
    UnreadNowhere,
)
from tests.broken.faults.files import (
    RefusesInCompile,
    UnlistedFile,
    UnstableFile,
    WrongDigest,
    WrongWeightOrder,
)
from tests.broken.faults.integers import (
    ForgetsBias,
    NarrowAccumulator,
    PerChannelUndeclared,
    PoolsOtherwise,
    RoundsOtherwise,
    SecretlyFloat,
    Wraps,
    WrongSimulation,
)
from tests.broken.faults.stages import (
    AcceptsEverything,
    ChangesItsInput,
    ForgotReturn,
    InspectRaises,
    OtherTarget,
    RefusesItsOwn,
    RenamesLayers,
    TellsTheTime,
    Unrepeatable,
)

#: Faulty target → the check that must fail. Checks that build on it are blocked, nothing else
#: may fail.
FAULTS: dict[type[ToyChip], str] = {
    ForgotReturn: "stages.quantize",
    RoundsOtherwise: "numerics.rounding",
    ChangesItsInput: "stages.inputs_unchanged",
    WrongWeightOrder: "artifact.read_back",
    Wraps: "numerics.overflow",
    UnstableFile: "artifact.deterministic",
    AcceptsEverything: "errors.unsupported",
    InspectRaises: "errors.inspect",
    NarrowAccumulator: "stages.quantize",
    NewerContract: "contract.info",
    MisspeltHook: "contract.hooks",
    SilentOptions: "contract.options",
    PerChannelUndeclared: "numerics.formats",
    Unrepeatable: "stages.repeatable",
    ForgetsBias: "exact.meaning",
    WrongDigest: "artifact.digests",
    UnlistedFile: "artifact.digests",
    BrokenPlan: "contract.plan",
    WrongSimulation: "exact.simulation",
    OtherTarget: "graph.target",
    RenamesLayers: "graph.layers",
    TooMuchDeclared: "stages.quantize",
    RefusesItsOwn: "stages.prepare",
    PoolsOtherwise: "numerics.pooling",
    SecretlyFloat: "numerics.requantization",
    RefusesInCompile: "artifact.compile",
    TellsTheTime: "resume.reuse",
    UnreadNowhere: "contract.info",
    IgnoresSilently: "unread.quantize",
    PrunesUndeclared: "unread.prune",
}
