"""Orders of execution: the given one, and one that keeps less data alive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nibblefit_maxim.memory.needs import LayerNeeds


def other_orders(needs: Sequence[LayerNeeds], network_input: str) -> Iterator[list[LayerNeeds]]:
    """Yield the order as it is, then one in which the next layer is always the ready one that
    leaves the fewest bytes alive.
    """
    yield list(needs)
    lean = _lean(needs, network_input)
    if lean != list(needs):
        yield lean


def _lean(needs: Sequence[LayerNeeds], network_input: str) -> list[LayerNeeds]:
    waiting = list(needs)
    unread: dict[str, int] = {}
    for need in needs:
        for name in need.layer.inputs:
            unread[name] = unread.get(name, 0) + 1
    sizes = {need.layer.tensor: need.output_bytes for need in needs}
    sizes[network_input] = max(
        need.input_bytes() for need in needs if network_input in need.layer.inputs
    )
    made = {network_input}
    order = []
    while waiting:
        ready = [need for need in waiting if made.issuperset(need.layer.inputs)]
        chosen = min(ready, key=lambda need: _growth(need, unread, sizes))
        for name in chosen.layer.inputs:
            unread[name] -= 1
        made.add(chosen.layer.tensor)
        waiting.remove(chosen)
        order.append(chosen)
    return order


def _growth(need: LayerNeeds, unread: dict[str, int], sizes: dict[str, int]) -> int:
    """Return bytes that come alive minus bytes that die when a layer runs."""
    inputs = need.layer.inputs
    dying = sum(sizes[name] for name in set(inputs) if unread[name] == inputs.count(name))
    return need.output_bytes - dying
