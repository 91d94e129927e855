"""Keys of ``data.augment``, apart from what carries them out: reading them needs no torch."""

from __future__ import annotations

from pydantic import Field

from nibblefit.data.options import ReaderOptions


class AugmentOptions(ReaderOptions):
    """Keys of ``data.augment``; zero or false switches a change off."""

    shift: int = Field(
        default=0, ge=0, le=65_535, description="Largest shift along each axis, pixels."
    )
    flip: bool = Field(default=False, description="Mirror the last axis in half of the samples.")
    rotate: float = Field(default=0.0, ge=0, le=180, description="Largest angle, degrees.")
    scale: float = Field(default=0.0, ge=0, lt=1, description="Largest change of size, share.")
    brightness: float = Field(
        default=0.0, ge=0, description="Largest amount added to a sample, in the unit of inputs."
    )
    contrast: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Largest change of distances to a sample's mean, share.",
    )
    saturation: float = Field(
        default=0.0, ge=0, le=1, description="Largest change of saturation, share; three channels."
    )
    hue: float = Field(
        default=0.0,
        ge=0,
        le=180,
        description="Largest turn of the colours, degrees; three channels.",
    )
    noise: float = Field(default=0.0, ge=0, description="Standard deviation of added noise.")
    erase: float = Field(default=0.0, ge=0, le=1, description="Share of samples with a blank box.")

    @property
    def recolors(self) -> bool:
        """Whether any change alters values where they are, the same way for a whole sample."""
        return bool(self.brightness or self.contrast or self.saturation or self.hue)

    @property
    def moves(self) -> bool:
        """Whether any change moves content, so that a target with positions would have to move."""
        return bool(self.shift or self.flip or self.rotate or self.scale or self.erase)
