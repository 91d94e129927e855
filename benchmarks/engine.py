"""Images per second of the engine beside other ways to run the same networks, in one run.

Each number of threads has a process of its own, so that every library starts with it. Within a
process all contenders take turns, several rounds, so that a busy moment of the machine hits all of
them; medians and spreads are over rounds. Engine and judge are compared on every tensor first.

    python benchmarks/engine.py --json docs/results/bench.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

#: Networks and their two batch sizes.
BATCHES = {"ResNet-8": (1, 64), "ResNet-18": (1, 8)}
ROUNDS = 7
#: A contender runs at least this long per round …
SECONDS = 0.4
#: … after this pause and one call that is not counted.
PAUSE = 0.3


def main() -> None:
    """Measure everything, or in a worker process one network with one number of threads."""
    arguments = _arguments()
    if arguments.worker:
        network, threads = arguments.worker
        json.dump(_measure(network, int(threads), arguments.rounds, arguments.seconds), sys.stdout)
        return
    cells = []
    for threads in arguments.threads:
        for network in BATCHES:
            print(f"{network}, {threads} thread(s) …", file=sys.stderr, flush=True)
            cells += _in_process(network, threads, arguments)
    report = {
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "versions": _versions(),
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "cells": cells,
    }
    from render import markdown

    if arguments.json:
        # A relative path counts from the repository, wherever the command runs.
        target = Path(__file__).resolve().parents[1] / arguments.json
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(report, indent=1) + "\n")
    print(markdown(report))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--worker", nargs=2, metavar=("NETWORK", "THREADS"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_process(network: str, threads: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    command = [
        sys.executable, __file__, "--worker", network, str(threads),
        "--rounds", str(arguments.rounds), "--seconds", str(arguments.seconds),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    cells: list[dict[str, Any]] = json.loads(done.stdout)
    return cells


def _measure(name: str, threads: int, rounds: int, seconds: float) -> list[dict[str, Any]]:
    import contenders
    import networks
    import torch

    torch.set_num_threads(threads)
    network = networks.resnet8() if name == "ResNet-8" else networks.resnet18()
    contenders.require_equal(contenders.subject(network, 3, threads))
    cells = []
    for batch in BATCHES[name]:
        subject = contenders.subject(network, batch, threads)
        for contender, result in _take_turns(contenders, subject, rounds, seconds).items():
            cells.append({"network": name, "threads": threads, "batch": batch,
                          "contender": contender, **result})  # fmt: skip
    return cells


def _take_turns(contenders: Any, subject: Any, rounds: int, seconds: float) -> dict[str, Any]:
    """Return images per second of every round, or the reason for a skip, by contender."""
    ready, results = {}, {}
    for name, build in contenders.CONTENDERS.items():
        if subject.batch > 1 and name in contenders.ONE_IMAGE_ONLY:
            results[name] = {"skipped": "measured with one image only"}
            continue
        try:
            ready[name] = build(subject)
            ready[name]()
        except contenders.SkippedError as why:
            results[name] = {"skipped": str(why)}
            ready.pop(name, None)
        else:
            results[name] = {"images_per_second": []}
    for _ in range(rounds):
        for name, once in ready.items():
            # Idle threads of the contender before spin for a while and would slow this one down.
            time.sleep(PAUSE)
            once()
            results[name]["images_per_second"].append(subject.batch * _rate(once, seconds))
    return results


def _rate(once: Any, seconds: float) -> float:
    """Return calls per second over at least `seconds`."""
    calls, start = 0, time.perf_counter()
    while True:
        once()
        calls += 1
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return calls / elapsed


def processor() -> str:
    """Return the processor's name as the system states it."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in ("torch", "onnxruntime", "numpy", "tosa-tools"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


if __name__ == "__main__":
    main()
