"""The recipe: everything a user decides about a run, as one validated, frozen value.

This module is the schema; `nibblefit.recipe_file` reads TOML into it and explains every problem
with its line. Each field's description is what ``nibblefit init`` writes as a comment and what the
recipe reference in the manual is generated from, so it must be complete and plain.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

#: Above any sensible count, and what loops, tensors and the system's own integers still take.
_LARGEST = 2**31 - 1
PositiveInt = Annotated[int, Field(gt=0, le=_LARGEST)]
Count = Annotated[int, Field(ge=0, le=_LARGEST)]


def _usable_path(text: str) -> str:
    """Refuse what no file system takes: it would fail wherever the path is first touched."""
    if len(text) > 1000 or any(len(part.encode()) > 255 for part in text.split("/")):
        raise ValueError("a path of at most 1,000 characters, at most 255 bytes between slashes")
    if "\0" in text:
        raise ValueError("a path without the character NUL")
    return text


PathText = Annotated[str, AfterValidator(_usable_path)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
#: Share of weights to remove; not all of them.
Sparsity = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False
    )


class ModelSection(Section):
    """Which network, and how it is built."""

    source: PathText = Field(
        description="The network: 'path/file.py:factory', 'package.module:factory', 'net.onnx' or "
        "a file in a format that the target reads. A factory is called with the keys of "
        "[model.arguments] and returns a torch module."
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments for the factory."
    )
    weights: PathText = Field(
        default="",
        description="State dict to start from: .pt/.pth with tensors only, .safetensors or .npz, "
        "or a run folder, whose latest float network is taken; for a target's own format what "
        "belongs to it.",
    )
    match: Literal["all", "by_name"] = Field(
        default="all",
        description="Which of the weights are taken. all: names and shapes must be those of the "
        "network. by_name: those that fit, to fine-tune a network with another head; the rest "
        "starts as the network makes it, and is listed.",
    )
    fresh: tuple[str, ...] = Field(
        default=(),
        description="Globs on the names of weights that start anew although the file has them: "
        "['head.*'] gives the network an untrained head.",
    )
    input_shape: tuple[PositiveInt, ...] = Field(
        default=(),
        description="Shape of one input without the batch axis, channels first, such as "
        "[1, 28, 28]. Empty: taken from the data set or from the network's file.",
    )


class TaskSection(Section):
    """What the network is for: loss, metric and decoding."""

    kind: str = Field(
        default="classification",
        description="classification, detection, segmentation or reconstruction.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the task, such as {label_smoothing = 0.1}."
    )


class DataSection(Section):
    """Where the samples come from, how they are split and scaled."""

    source: str = Field(
        default="digits",
        description="digits (1,797 handwritten digits that come with scikit-learn), idx, folder, "
        "npz, python, or a reader that the target brings.",
    )
    path: PathText = Field(
        default="",
        description="Folder (idx, folder), file (npz) or 'path/file.py:factory' (python).",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the reader; see the data chapter."
    )
    validation: Fraction = Field(
        default=0.1, description="Share of the training samples kept for validation."
    )
    test: Fraction = Field(
        default=0.2, description="Share kept for the test split where the source has none."
    )
    range: tuple[float, float] | None = Field(
        default=None,
        description="Real range the network sees: the source's lowest value becomes the first "
        "number, its full scale the second. Unset: what the target expects, else [0, 1].",
    )
    mean: tuple[float, ...] = Field(
        default=(), description="Per-channel mean subtracted after scaling to `range`."
    )
    std: tuple[float, ...] = Field(default=(), description="Per-channel divisor after the mean.")
    augment: dict[str, Any] = Field(
        default_factory=dict,
        description="Training augmentation: shift (pixels), flip (true), rotate (degrees), "
        "scale (share), noise (standard deviation), erase (share), brightness (amount), "
        "contrast (share), saturation (share), hue (degrees).",
    )
    workers: Annotated[int, Field(ge=0, le=256)] = Field(
        default=0, description="Loader processes; 0 loads in the training process."
    )

    @field_validator("range")
    @classmethod
    def _range_rises(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError("two numbers, the lower one first")
        return value

    @field_validator("std")
    @classmethod
    def _std_is_positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(entry <= 0 for entry in value):
            raise ValueError("numbers above 0")
        return value


class TrainSection(Section):
    """How to train. `[train.NAME]` overrides any of these for the plan's step NAME."""

    epochs: Count = Field(default=20, description="Passes over the data.")
    batch_size: PositiveInt = Field(default=64, description="Samples per optimizer step.")
    optimizer: Literal["adam", "adamw", "sgd"] = Field(
        default="adam", description="adam, adamw or sgd."
    )
    learning_rate: Annotated[float, Field(gt=0, le=1e6)] = Field(
        default=1e-3, description="Peak learning rate."
    )
    momentum: Fraction = Field(default=0.9, description="Momentum, sgd only.")
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = Field(
        default=0.0, description="L2 decay (decoupled for adamw)."
    )
    schedule: Literal[
        "constant", "cosine", "step", "poly", "onecycle", "soft_start", "soft_start_cosine"
    ] = Field(
        default="cosine",
        description="constant, cosine, step, poly, onecycle, soft_start or soft_start_cosine.",
    )
    warmup: Fraction = Field(
        default=0.0, description="Share of all steps with a linearly rising rate."
    )
    schedule_options: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of the schedule: {milestones = [..], factor = 0.1} for step, "
        "{power = 1.0} for poly, {floor = 0.01} for cosine.",
    )
    checkpoint_every: PositiveInt = Field(
        default=1,
        description="Epochs between checkpoints; only an epoch with one, or the last, can be "
        "chosen.",
    )
    choose: Literal["best", "last"] = Field(
        default="best",
        description="Which epoch's weights to keep: of those with a checkpoint the best validation "
        "metric (ties: the lower validation loss, then the earlier epoch), or the last.",
    )
    early_stop: Count = Field(
        default=0,
        description="Stop after this many epochs without a better validation metric; 0 never "
        "stops.",
    )
    gradient_clip: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="Largest gradient norm; 0 does not clip."
    )
    processes: PositiveInt = Field(
        default=1, description="Training processes (data-parallel; one per GPU on GPUs)."
    )
    parameter_groups: tuple[dict[str, Any], ...] = Field(
        default=(),
        description="Optimizer groups: [{patterns = ['stem.*'], learning_rate_factor = 0.1, "
        "weight_decay = 0.0}]; the first match wins.",
    )
    freeze: tuple[str, ...] = Field(
        default=(),
        description="Globs on the names of parameters that do not learn, before any group: "
        "['backbone.*']. An entry with ! in front frees again, later ones win: ['*', '!head.*'] "
        "trains the head alone. Running statistics of batch norm go on following the data.",
    )


class DistillSection(Section):
    """Distillation: every training also follows the scores of a trained network, the teacher."""

    teacher: PathText = Field(
        default="",
        description="The teacher: a run folder, whose latest float network is taken, or a network "
        "as in model.source. Empty: no teacher.",
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments for the teacher's factory."
    )
    weights: PathText = Field(
        default="", description="State dict or run folder for a teacher that a factory makes."
    )
    temperature: Annotated[float, Field(gt=0, le=1e3)] = Field(
        default=4.0,
        description="Divides the scores of both before softmax: higher values show more of how "
        "the teacher ranks the wrong classes.",
    )
    weight: Fraction = Field(
        default=0.7, description="Share of the teacher in the loss; the rest is the task's."
    )


class PruneSection(Section):
    """Pruning: the smallest weights become zero, and training recovers the accuracy.

    Where it asks for any sparsity, the plan gets the steps prune, recover (its training settings
    are ``[train.recover]``) and evaluate_pruned before quantization.
    """

    sparsity: Sparsity = Field(
        default=0.0,
        description="Share of the weights of convolutions and linear layers that become zero and "
        "stay so, also through quantization-aware training; 0 prunes nothing. With any, the plan "
        "gets the steps prune, recover (trained as [train.recover] says) and evaluate_pruned.",
    )
    scope: Literal["layer", "global"] = Field(
        default="layer",
        description="layer: every layer loses this share; global: the layers together do, those "
        "with smaller weights more.",
    )
    layers: dict[str, Sparsity] = Field(
        default_factory=dict,
        description='Own shares by layer name or glob: {"stem.*" = 0.0, classify = 0.8}; later '
        "entries win. Names that match nothing are refused.",
    )

    @property
    def active(self) -> bool:
        """Whether anything is pruned."""
        return self.sparsity > 0.0 or any(share > 0.0 for share in self.layers.values())


class QuantizeSection(Section):
    """Post-training quantization; keys that a target has no use for are refused."""

    calibration_samples: PositiveInt = Field(
        default=256,
        description="Training samples, or those of [calibration], that measure activation ranges.",
    )
    method: str = Field(
        default="mse",
        description="How a range is chosen: minmax, percentile, mse or entropy.",
    )
    percentile: Annotated[float, Field(gt=0, le=100)] = Field(
        default=99.99, description="For method = percentile."
    )
    layers: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description='Per-layer settings by layer name or glob: {"stem.*" = {weight_bits = 8}}. '
        "Names that match nothing are refused.",
    )


class CalibrationSection(Section):
    """Data to calibrate on in place of training samples; needs no labels."""

    source: str = Field(
        default="pictures",
        description="pictures (a folder of image files, however deep), or a source as in "
        "data.source, of which labels and splits do not count.",
    )
    path: PathText = Field(
        default="",
        description="Folder or file. Empty: training samples calibrate. Values are scaled as "
        "[data] says, and quantize.calibration_samples of them are used: there must be as many.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of the reader: size and gray for pictures. Without them pictures "
        "are resized as data.options says, and must have the network's size where it says nothing.",
    )

    @property
    def active(self) -> bool:
        """Whether other data than training samples calibrates."""
        return bool(self.path)


class EvaluateSection(Section):
    """What is measured, and the limits that must hold."""

    samples: Count = Field(default=0, description="Test samples to use; 0 uses all.")
    judge_samples: Count = Field(
        default=0,
        description="Test samples on which engine, judge and training simulation are compared, "
        "every integer of every layer; 0 uses all.",
    )
    batch_size: PositiveInt = Field(default=256, description="Samples per batch.")
    floor: Fraction = Field(
        default=0.0, description="Stop if the float model's metric is below this."
    )
    max_drop: Fraction = Field(
        default=1.0,
        description="Fail if the integer model's metric is more than this below the float one's.",
    )


class TargetSection(BaseModel):
    """The chip. Keys beside name and part are the target's own options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="Target plugin, as listed by `nibblefit targets`.")
    part: str = Field(default="", description="Device; empty is the target's default.")


class RunSection(Section):
    """How the run is carried out."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        default=1, description="Seed of everything random."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto uses a GPU if there is one."
    )
    threads: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=0,
        description="CPU threads; 0 uses all cores. Integers never depend on it; the training of "
        "a large network may, in the last bits of its weights: torch divides float sums by it.",
    )
    extensions: tuple[str, ...] = Field(
        default=(), description="Extension plugins to load, by entry-point name."
    )


class Recipe(Section):
    """A whole recipe.

    `train` holds the general settings; `train_steps` the `[train.NAME]` tables, unresolved.
    `folder` is where the recipe file lies: relative paths in it start there. `file` is the recipe
    file itself, empty for recipes made in Python; messages point into it.
    """

    model: ModelSection
    target: TargetSection
    task: TaskSection = TaskSection()
    data: DataSection = DataSection()
    train: TrainSection = TrainSection()
    distill: DistillSection = DistillSection()
    prune: PruneSection = PruneSection()
    train_steps: dict[str, dict[str, Any]] = Field(default_factory=dict)
    quantize: QuantizeSection = QuantizeSection()
    calibration: CalibrationSection = CalibrationSection()
    evaluate: EvaluateSection = EvaluateSection()
    run: RunSection = RunSection()
    folder: str = "."
    file: str = ""

    def train_for(self, step: str) -> TrainSection:
        """Return the training settings of one step: `[train]` overlaid with `[train.STEP]`.

        Rounds and candidates (``qat@2``) use the settings of their base step (``qat``).
        """
        overrides = self.train_steps.get(step.split("@", maxsplit=1)[0], {})
        return TrainSection(**{**self.train.model_dump(), **overrides})
