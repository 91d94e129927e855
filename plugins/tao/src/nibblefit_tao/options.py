"""Options of the target `tao`: the recipe's ``[target]`` table beside name."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from nibblefit.ir.graph import frozen_mapping
from nibblefit_tao.pruning.settings import Criterion, Normalizer, PruneSettings

#: They decide which steps there are; no step reads them, so other values repeat none.
_PLAN: dict[str, JsonValue] = {"read_by": []}
_PRUNE: dict[str, JsonValue] = {"read_by": ["prune"]}
#: Names of layers are checked before anything is trained.
_NAMES: dict[str, JsonValue] = {"read_by": ["prepare", "prune"]}
_TRAIN: dict[str, JsonValue] = {"read_by": ["train"]}
_RETRAIN: dict[str, JsonValue] = {"read_by": ["retrain", "qat"]}
_INTEGER_STEPS = ("prepare", "quantize", "compile", "evaluate")
_QUANTIZE: dict[str, JsonValue] = {"read_by": [*_INTEGER_STEPS]}

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Threshold = Annotated[float, Field(ge=0.0, le=1e6)]
Count = Annotated[int, Field(ge=1, le=2**40)]


class Regularizer(StrEnum):
    """TAO's names: ``weight · Σ|w|``, ``weight · Σw²`` (no half), or nothing."""

    NO_REG = "NO_REG"
    L1 = "L1"
    L2 = "L2"


class TaoOptions(BaseModel):
    """Options of the target `tao`; pruning keys have TAO's names and defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    prune: bool = Field(
        default=True,
        description="Prune and retrain; false only trains.",
        json_schema_extra={"read_by": ["prepare"]},
    )
    threshold: Threshold = Field(
        default=0.1,
        description="Filters whose normalized norm is above it stay. Not a share of filters: with "
        "normalizer max, a share of the strongest filter's norm.",
        json_schema_extra=_PRUNE,
    )
    ratio: Share | None = Field(
        default=None,
        description="Solve for the threshold that leaves at most this share of the parameters, "
        "in place of threshold.",
        json_schema_extra=_PRUNE,
    )
    macs: Count | None = Field(
        default=None,
        description="Solve for the threshold that leaves at most as many multiply-accumulates.",
        json_schema_extra=_PRUNE,
    )
    weight_bytes: Count | None = Field(
        default=None,
        description="Solve for the threshold that leaves at most as many bytes of float32 weights.",
        json_schema_extra=_PRUNE,
    )
    ratios: tuple[Share, ...] = Field(
        default=(),
        description="Try these ratios, the smallest first: the first that is within "
        "evaluate.max_drop after retraining goes on.",
        json_schema_extra=_PLAN,
    )
    thresholds: tuple[Threshold, ...] = Field(
        default=(),
        description="Try these thresholds, the largest first, in the same way.",
        json_schema_extra=_PLAN,
    )
    normalizer: Normalizer = Field(
        default=Normalizer.MAX,
        description="max, L2 (with the factor n that TAO's documentation omits) or off.",
        json_schema_extra=_PRUNE,
    )
    equalization_criterion: Criterion = Field(
        default=Criterion.UNION,
        description="How scores of coupled layers join: union, intersection, arithmetic_mean or "
        "geometric_mean.",
        json_schema_extra=_PRUNE,
    )
    pruning_granularity: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=8,
        description="Kept filters are a multiple of it, rounded up.",
        json_schema_extra=_PRUNE,
    )
    min_num_filters: Annotated[int, Field(ge=1, le=65536)] = Field(
        default=16, description="Every layer keeps at least as many.", json_schema_extra=_PRUNE
    )
    excluded_layers: tuple[str, ...] = Field(
        default=(),
        description="Layers, or globs, that stay whole with all layers coupled to them. What "
        "feeds an output stays whole by itself.",
        json_schema_extra=_NAMES,
    )
    layer_thresholds: dict[str, Threshold] = Field(
        default_factory=dict,
        description='Thresholds of their own by layer or glob: {"backbone.block_4*" = 0.3}.',
        json_schema_extra=_NAMES,
    )
    score_batch_norm: bool = Field(
        default=False,
        description="Score filters as batch norm scales them; TAO looks at kernels alone.",
        json_schema_extra=_PRUNE,
    )
    prune_transposed: bool = Field(
        default=False,
        description="Prune filters of transposed convolutions too; TAO never does.",
        json_schema_extra=_PRUNE,
    )
    regularizer: Regularizer = Field(
        default=Regularizer.L1,
        description="Of the first training: L1 drives whole filters towards zero.",
        json_schema_extra=_TRAIN,
    )
    regularizer_weight: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=3e-5, description="Its strength.", json_schema_extra=_TRAIN
    )
    retrain_regularizer: Regularizer = Field(
        default=Regularizer.NO_REG,
        description="Of the retraining.",
        json_schema_extra=_RETRAIN,
    )
    retrain_regularizer_weight: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=3e-9, description="Its strength.", json_schema_extra=_RETRAIN
    )
    per_channel: bool = Field(
        default=True,
        description="One weight scale per filter, as TensorRT does by itself, or one per layer.",
        json_schema_extra={"read_by": [*_INTEGER_STEPS, "qat"]},
    )
    qat: bool = Field(
        default=False,
        description="Train with quantization in the loop at the end, step `qat`; its ranges are "
        "those of the integers, and nothing is calibrated.",
        json_schema_extra={"read_by": ["qat"]},
    )
    qat_relu6: bool = Field(
        default=False,
        description="Make every ReLU, leaky and parametric ReLU a ReLU6 before step `qat`, as TAO "
        "does; this changes the function.",
        json_schema_extra={"read_by": ["qat"]},
    )
    tensorrt: str = Field(
        default="10.3.0",
        pattern=r"^[0-9]+(\.[0-9]+){1,3}$",
        description="Version of TensorRT that calibration caches are written for.",
        json_schema_extra={"read_by": ["compile"]},
    )
    precision: Literal["int8"] = Field(
        default="int8", description="Of the engine.", json_schema_extra=_QUANTIZE
    )

    @model_validator(mode="after")
    def _one_goal(self) -> TaoOptions:
        goals = [n for n in ("ratio", "macs", "weight_bytes") if getattr(self, n) is not None]
        if "threshold" in self.model_fields_set:
            goals.append("threshold")
        if len(goals) > 1:
            raise ValueError(f"{' and '.join(goals)} contradict each other: set one of them")
        if self.ratios and self.thresholds:
            raise ValueError("ratios or thresholds, not both")
        for name, tried in (("ratio", self.ratios), ("threshold", self.thresholds)):
            # A candidate sets the one of the list that it stands for.
            others = [goal for goal in goals if goal != name or getattr(self, goal) not in tried]
            if tried and others:
                raise ValueError(f"{name}s and {others[0]} contradict each other: set one of them")
        return self

    def prune_settings(self) -> PruneSettings:
        """Return how filters are chosen."""
        return PruneSettings(
            self.normalizer, self.equalization_criterion, self.pruning_granularity, self.threshold,
            self.min_num_filters, self.excluded_layers, frozen_mapping(self.layer_thresholds),
            self.score_batch_norm, self.prune_transposed,
        )  # fmt: skip
