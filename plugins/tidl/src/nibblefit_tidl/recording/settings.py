"""How a data set is made of clips."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nibblefit.errors import InputError
from nibblefit_tidl.recording.compositing import Variation


class RecordingSettings(BaseModel):
    """Settings of ``nibblefit tidl record``.

    The defaults follow TI's advice for a new class: turntable clips of 15 to 20 seconds give 200 to
    300 frames each, three or four distances and elevations 2,000 to 3,000 pictures, and composing
    makes ten to twenty of each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: Annotated[float, Field(gt=0, le=1000)] = Field(
        default=12.0, description="Frames per second to take from a clip."
    )
    copies: Annotated[int, Field(ge=0, le=100)] = Field(
        default=10, description="Composed pictures per training frame."
    )
    validation_copies: Annotated[int, Field(ge=0, le=100)] = Field(
        default=1, description="Composed pictures per validation frame."
    )
    validation: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=0.2, description="Share of each class's clips kept for validation, whole clips."
    )
    scale: tuple[float, float] = Field(
        default=(0.5, 1.5), description="Smallest and largest size of a composed object."
    )
    light: tuple[float, float] = Field(
        default=(0.6, 1.4), description="Smallest and largest brightness."
    )
    contrast: Annotated[float, Field(ge=0.0, le=0.9)] = Field(
        default=0.15, description="Largest change of contrast and colour."
    )
    flip: bool = Field(default=True, description="Mirror half of the composed objects.")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        default=1, description="Seed of everything random."
    )

    @property
    def variation(self) -> Variation:
        """How far composed pictures differ from their frames."""
        return Variation(self.scale, self.light, self.contrast, self.flip)


def settings_from(**given: object) -> RecordingSettings:
    """Return validated settings.

    Raises:
        InputError: A value is out of range; names it.
    """
    try:
        return RecordingSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{name} = {first['input']!r}: {first['msg'].lower()}",
            hint="see nibblefit tidl record --help",
        ) from error
