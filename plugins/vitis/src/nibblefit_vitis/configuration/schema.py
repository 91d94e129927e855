"""The configuration file as a model: what was written, not yet merged."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictInt,
    StrictStr,
)

from nibblefit_vitis.configuration.keys import KINDS_KEY, MEANING, SCALE_TYPE_ALIAS
from nibblefit_vitis.settings import Device, Kind, Method, RoundMode, ScaleType, Statistic


def _number(value: Any) -> Any:
    """Let whole numbers and fractions pass; pydantic would read texts and booleans as well."""
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise ValueError("not a number")  # noqa: TRY004 - pydantic's contract
    return value


def _scale_type(value: Any) -> Any:
    return ScaleType.POWER_OF_TWO if value == SCALE_TYPE_ALIAS else value


def _mean(key: str, default: Any = None) -> Any:
    return Field(default=default, description=MEANING[key])


class Block(BaseModel):
    """Base of all blocks: frozen, unknown keys refused. A key with null counts as left out."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def written(self) -> dict[str, Any]:
        """Return what was given, as JSON values, in the model's order."""
        return self.model_dump(mode="json", exclude_none=True, exclude_unset=True)


class QuantizeBlock(Block):
    """Quantization keys; those left out keep what was merged before."""

    datatype: Literal["int", "bfloat16", "float16", "float32"] | None = _mean("datatype")
    bit_width: Annotated[StrictInt, Field(ge=1, le=32)] | None = _mean("bit_width")
    method: Method | None = _mean("method")
    round_mode: RoundMode | None = _mean("round_mode")
    symmetry: StrictBool | None = _mean("symmetry")
    per_channel: StrictBool | None = _mean("per_channel")
    signed: StrictBool | None = _mean("signed")
    narrow_range: StrictBool | None = _mean("narrow_range")
    scale_type: Annotated[ScaleType | None, BeforeValidator(_scale_type)] = _mean("scale_type")
    calib_statistic_method: Statistic | None = _mean("calib_statistic_method")
    percentage: Annotated[
        Annotated[float, Field(gt=0.0, le=100.0)] | None, BeforeValidator(_number)
    ] = _mean("percentage")

    def given(self) -> dict[str, Any]:
        """Return the keys that were given → their values."""
        return {key: getattr(self, key) for key in type(self).model_fields
                if getattr(self, key) is not None}  # fmt: skip


class TensorBlocks(Block):
    """Quantization keys by kind of tensor."""

    input: QuantizeBlock | None = None
    weights: QuantizeBlock | None = None
    bias: QuantizeBlock | None = None
    activation: QuantizeBlock | None = None

    def of(self, kind: Kind) -> QuantizeBlock:
        """Return the block of a kind, empty if there is none."""
        found: QuantizeBlock | None = getattr(self, kind.value)
        return found or QuantizeBlock()


class LayerEntry(Block):
    """What differs for layers of a type or with a name."""

    layer_type: StrictStr | None = _mean("layer_type")
    layer_name: StrictStr | None = _mean("layer_name")
    quantizable_data_type: tuple[Kind, ...] = Field(description=MEANING[KINDS_KEY])
    overall_quantize_config: QuantizeBlock | None = None
    tensor_quantize_config: TensorBlocks | None = None

    @property
    def kind_of_name(self) -> str:
        """``layer_type`` or ``layer_name``; where both are given the original takes the type."""
        return "layer_type" if self.layer_type else "layer_name"

    @property
    def named(self) -> str:
        """The type or name itself; of a type only its last dotted part counts."""
        if self.layer_type:
            return self.layer_type.rsplit(".", maxsplit=1)[-1]
        return self.layer_name or ""


class Configuration(Block):
    """A whole file."""

    convert_relu6_to_relu: StrictBool | None = _mean("convert_relu6_to_relu")
    convert_silu_to_hswish: StrictBool | None = _mean("convert_silu_to_hswish")
    include_cle: StrictBool | None = _mean("include_cle")
    keep_first_last_layer_accuracy: StrictBool | None = _mean("keep_first_last_layer_accuracy")
    keep_add_layer_accuracy: StrictBool | None = _mean("keep_add_layer_accuracy")
    include_bias_corr: StrictBool | None = _mean("include_bias_corr")
    target_device: Device | None = _mean("target_device")
    onnx_opset_version: StrictInt | None = _mean("onnx_opset_version")
    change_concat_input_fix: StrictBool | None = _mean("change_concat_input_fix")
    change_pool_input_fix: StrictBool | None = _mean("change_pool_input_fix")
    quantizable_data_type: tuple[Kind, ...] | None = _mean(KINDS_KEY)
    overall_quantize_config: QuantizeBlock | None = None
    tensor_quantize_config: TensorBlocks | None = None
    layer_quantize_config: tuple[LayerEntry, ...] = ()

    _notes: tuple[str, ...] = PrivateAttr(default=())

    @property
    def notes(self) -> tuple[str, ...]:
        """What reading the file had to say: ignored keys and values."""
        return self._notes

    def with_notes(self, notes: tuple[str, ...]) -> Configuration:
        """Return the same configuration with notes of its reading."""
        found = self.model_copy()
        found._notes = notes  # noqa: SLF001 - of the same class
        return found

    @property
    def device(self) -> Device:
        """Whose rules hold; the DPU's where the file names none."""
        return self.target_device or Device.DPU
