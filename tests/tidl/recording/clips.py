"""Synthetic clips: a turning object before a plain, unevenly lit, noisy background."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """What a clip shows."""

    shape: str = "ellipse"
    colour: tuple[int, int, int] = (170, 60, 40)
    background: tuple[int, int, int] = (90, 150, 110)
    noise: float = 3.0
    falloff: float = 30.0
    size: float = 0.25
    shadow: float = 0.0


def frames(scene: Scene, count: int, height: int = 120, width: int = 160,
           seed: int = 0) -> Iterator[tuple[Picture, Mask]]:  # fmt: skip
    """Yield pictures with the true mask."""
    generator = np.random.default_rng(seed)
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    aspect = width / height
    for number in range(count):
        angle = 2 * np.pi * number / count
        dx, dy = x * aspect - 0.2 * np.cos(angle), y - 0.15 * np.sin(angle)
        u = dx * np.cos(angle) + dy * np.sin(angle)
        v = -dx * np.sin(angle) + dy * np.cos(angle)
        if scene.shape == "ellipse":
            mask = (u / (1.6 * scene.size)) ** 2 + (v / scene.size) ** 2 <= 1
        else:
            mask = (abs(u) <= 1.4 * scene.size) & (abs(v) <= 0.7 * scene.size)
        picture = np.empty((height, width, 3))
        picture[:] = scene.background
        picture -= scene.falloff * (x * x + y * y)[..., None]
        picture[(y > 0.6) & ~mask] -= scene.shadow
        # Shaded like a solid: no part of the object has one flat colour.
        picture[mask] = np.array(scene.colour) + 25 * u[mask][:, None]
        picture += generator.normal(0, scene.noise, picture.shape)
        yield np.clip(picture, 0, 255).astype(np.uint8), mask


def write_clip(path: Path, scene: Scene, count: int = 12, rate: int = 12, seed: int = 0) -> None:
    """Encode a clip as MPEG-4."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(rate))
        stream.width, stream.height, stream.bit_rate = 160, 120, 4_000_000
        for picture, _ in frames(scene, count, seed=seed):
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
