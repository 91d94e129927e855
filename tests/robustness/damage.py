"""Damage to files: cut off, bits flipped, bytes overwritten; reproducible by number."""

from __future__ import annotations

import random


def damaged(content: bytes, number: int) -> bytes:
    """Return damage `number` of a file's bytes; never the bytes themselves."""
    chance = random.Random(number)
    kind = number % 5
    if kind == 0:
        return content[: chance.randrange(len(content))]
    result = bytearray(content)
    if kind == 1:  # one bit, often in the header
        at = chance.randrange(min(len(result), 64) if chance.random() < 0.5 else len(result))
        result[at] ^= 1 << chance.randrange(8)
    elif kind == 2:  # many bits
        for _ in range(max(2, len(result) // 50)):
            result[chance.randrange(len(result))] ^= 1 << chance.randrange(8)
    elif kind == 3:  # a hole
        start = chance.randrange(len(result))
        result[start : start + chance.randint(1, 64)] = b""
    else:  # a block of other bytes
        start = chance.randrange(len(result))
        size = min(chance.randint(1, 64), len(result) - start)
        result[start : start + size] = chance.choice([b"\x00", b"\xff", b"A"]) * size
    return bytes(result) if bytes(result) != content else content[:-1]
