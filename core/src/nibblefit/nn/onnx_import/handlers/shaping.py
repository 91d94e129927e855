"""Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Expand and DepthToSpace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_import.site import Handler, Site
from nibblefit.nn.problems import Refused
from nibblefit.nn.reshaping import reshaping


def _before(site: Site) -> tuple[int, ...]:
    return (site.batch, *site.shape())


def _to(site: Site, after: Sequence[int]) -> str:
    """Give the activation another shape, batch axis counted in `after`."""
    if not after or after[0] != site.batch or min(after) < 1:
        raise Refused(
            f"it turns (batch, {', '.join(map(str, site.shape()))}) into a shape whose first axis "
            f"is not the batch",
            "keep axis 0 as it is",
        )
    op, attributes = reshaping(site.shape(), tuple(int(n) for n in after[1:]))
    return site.add(op, [site.activation()], **attributes)


def _reshape(site: Site) -> str:
    before = _before(site)
    wanted = [int(n) for n in site.array(1, "shape").reshape(-1)]
    if not site.attribute("allowzero", 0):
        if any(n == 0 and i >= len(before) for i, n in enumerate(wanted)):
            raise Refused(f"shape {wanted} copies an axis that does not exist")
        wanted = [before[i] if n == 0 else n for i, n in enumerate(wanted)]
    if wanted.count(-1) > 1 or min(wanted, default=0) < -1:
        raise Refused(f"shape {wanted} leaves more than one axis open")
    known = prod(n for n in wanted if n != -1)
    if known == 0 or prod(before) % known:
        raise Refused(f"shape {wanted} does not fit {prod(site.shape())} values per sample")
    return _to(site, [prod(before) // known if n == -1 else n for n in wanted])


def _flatten(site: Site) -> str:
    before = _before(site)
    axis = int(site.attribute("axis", 1))
    axis += len(before) if axis < 0 else 0
    return _to(site, (prod(before[:axis]), prod(before[axis:])))


def _squeeze(site: Site) -> str:
    before = _before(site)
    given = site.ints(1, "axes")
    axes = {a % len(before) for a in given} if given else {
        a for a, n in enumerate(before) if n == 1
    }  # fmt: skip
    if any(before[a] != 1 for a in axes):
        raise Refused(f"it removes axes {sorted(axes)} of {before}, which are larger than 1")
    return _to(site, [n for a, n in enumerate(before) if a not in axes])


def _unsqueeze(site: Site) -> str:
    before = _before(site)
    given = site.ints(1, "axes", ())
    rank = len(before) + len(given)
    axes = {a % rank for a in given}
    rest = iter(before)
    return _to(site, [1 if a in axes else next(rest) for a in range(rank)])


def _transpose(site: Site) -> str:
    rank = len(site.shape()) + 1
    perm = tuple(int(a) for a in site.attribute("perm", tuple(reversed(range(rank)))))
    if perm[0] != 0:
        raise Refused("it moves the batch axis", "keep axis 0 in place")
    if perm == tuple(range(rank)):
        return site.activation()
    return site.add(Op.TRANSPOSE, [site.activation()], perm=perm)


def _expand(site: Site) -> str:
    """Keep the small activation where everyone who reads it broadcasts by itself."""
    wanted = tuple(int(n) for n in site.array(1, "shape").reshape(-1))
    before = _before(site)
    if all(n in {1, b} for n, b in zip(reversed(wanted), reversed(before))) and len(wanted) <= len(
        before
    ):
        return site.activation()
    if len(wanted) != len(before) or not site.is_only_scaled(0):
        raise Refused("repeating values has no operator", "let elementwise operators broadcast")
    return site.activation()


def _depth_to_space(site: Site) -> str:
    order = str(site.attribute("mode", "DCR")).lower()
    factor = int(site.attribute("blocksize"))
    return site.add(Op.PIXEL_SHUFFLE, [site.activation()], factor=factor, order=order)


def _space_to_depth(site: Site) -> str:
    """Move blocks of pixels into channels: block position first, as ONNX orders them."""
    factor = int(site.attribute("blocksize"))
    channels, height, width = site.shape()
    if height % factor or width % factor:
        raise Refused(f"blocks of {factor} do not fit {height}×{width}")
    blocks = (channels, height // factor, factor, width // factor, factor)
    split = site.add(Op.RESHAPE, [site.activation()], part="blocks", shape=blocks)
    turned = site.add(Op.TRANSPOSE, [split], part="turned", perm=(0, 3, 5, 1, 2, 4))
    shape = (channels * factor**2, height // factor, width // factor)
    return site.add(Op.RESHAPE, [turned], shape=shape)


HANDLERS: Mapping[str, Handler] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Expand": _expand,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
