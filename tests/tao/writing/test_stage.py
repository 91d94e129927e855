"""What compile writes: files, ranges, command lines, README; odd names and refusals."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from nibblefit import open_run
from nibblefit.errors import InputError, UnsupportedError
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder
from nibblefit.quantization.build import quantize_network
from nibblefit.quantization.qdq.topology import representable, with_topology
from nibblefit.quantization.qdq.writing import qdq_model
from nibblefit.quantization.settings import settings
from nibblefit.recipe_file import read_recipe
from nibblefit.runner import run
from nibblefit_tao.calibration.cache import from_ranges, header, read_cache, write_cache
from nibblefit_tao.calibration.staleness import require_fresh
from nibblefit_tao.numerics import numerics_of
from nibblefit_tao.options import TaoOptions
from nibblefit_tao.writing.readme import command_for, commands, readme
from nibblefit_tao.writing.stage import (
    PER_CHANNEL_KEY,
    STYLE,
    _models,
    compile_tao,
    read_back,
    read_integers,
    tensor_ranges,
)

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "tao" / "digits.toml"
ODD = "in put:0/[é] 'x'"


def odd_network(bias: float = 0.1) -> Graph:
    """Return a convolution whose input and layer have names that shells and caches dislike."""
    builder = GraphBuilder("odd")
    x = builder.add_input(ODD, (2, 4, 4))
    random = np.random.default_rng(0)
    weight = builder.add_constant("a: b.weight", random.normal(size=(3, 2, 3, 3)))
    offset = builder.add_constant("a: b.bias", np.full(3, bias))
    y = builder.add(Op.CONV, [x, weight, offset], "(Unnamed Layer* 1) [Conv]: out",
                    strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), groups=1)  # fmt: skip
    return builder.finish([y])


DATA = np.random.default_rng(1).normal(size=(4, 2, 4, 4)).astype(np.float32)


def made(network: Graph) -> tuple[Any, Any]:
    """Return integers and QDQ model of a network."""
    stated = representable(network)
    graph = quantize_network(stated, numerics_of(), [DATA], settings("minmax"), target="tao")
    graph = with_topology(graph, stated)
    return graph, qdq_model(graph, numerics_of(), {PER_CHANNEL_KEY: "true"}, STYLE)


def test_odd_names_survive_every_file(tmp_path: Path) -> None:
    """QDQ file, cache and command line: colons, spaces, brackets, quotes, accents."""
    network = odd_network()
    graph, model = made(network)
    (tmp_path / "odd.onnx").write_bytes(model.SerializeToString(deterministic=True))
    back = read_integers(tmp_path / "odd.onnx")
    assert back.inputs == (ODD,)
    assert set(back.tensors) == set(graph.tensors)
    assert back.tensors[ODD].format == graph.tensors[ODD].format
    ranges = tensor_ranges(graph)
    write_cache(from_ranges(ranges, header("10.3.0")), tmp_path / "cal")
    assert set(read_cache(tmp_path / "cal").scales) == set(network.inputs) | set(network.outputs)
    onnx.save(model, str(tmp_path / "m.onnx"))
    require_fresh(read_cache(tmp_path / "cal"), tmp_path / "m.onnx", "10.3.0")
    for line in commands(network).values():
        words = shlex.split(line)
        assert words[0] == "trtexec"
        assert f"--optShapes={ODD}:8x2x4x4" in words


def test_a_bias_beyond_float32_is_refused() -> None:
    """It fits into 32 bits of the accumulator but not into 24 of a real number."""
    with pytest.raises(UnsupportedError, match="too large to be told exactly by a 32-bit float"):
        made(odd_network(bias=3_000_000.7))


@pytest.mark.parametrize("detection", [True, False])
def test_the_readme_says_what_to_do(detection: bool) -> None:
    """Files, both generations of TensorRT, the version of the cache, heads of a detector."""
    text = readme(odd_network(), TaoOptions(tensorrt="8.5.2"), {"x": 1.0}, detection=detection)
    for word in ("--stronglyTyped", "--int8 --fp16", "--calib=calibration.cache", "8.5.2"):
        assert word in text
    assert ("no plugin is needed" in text) is ("detector.json" in text) is detection
    assert "come from real samples" in text
    trained = readme(odd_network(), TaoOptions(), {}, detection=detection, trained=True)
    assert "come from quantized training" in trained


def test_each_tensorrt_gets_the_options_that_it_knows() -> None:
    """11 has no precisions, no calibration and is always strongly typed; 8 knows no such word."""
    newest, ten, older, cached = commands(odd_network()).values()
    assert not re.search("--(int8|fp16|calib|stronglyTyped)", newest)
    assert "--stronglyTyped" in ten
    assert not re.search("--(int8|fp16|calib)", ten)
    assert "--int8 --fp16" in older
    assert "--calib=calibration.cache" in cached
    for version, line in (("12.0.0", newest), ("11.5", newest), ("10.14.1", ten), ("9.3.0", older),
                          ("8.5.2", older)):  # fmt: skip
        assert command_for(odd_network(), version) == line


@pytest.mark.parametrize("version", ["", "ten", "10", "10.3.0-rc1", "10.3.0\n"])
def test_a_version_that_is_none_is_refused_before_training(version: str) -> None:
    """By the option itself."""
    with pytest.raises(ValueError, match="tensorrt"):
        TaoOptions(tensorrt=version)


def test_the_cache_names_what_trtexec_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EntropyCalibration2 for any method; one of another training with the same names is stale."""
    network, options = odd_network(), TaoOptions(tensorrt="8.6.1")
    for number, scale in enumerate((1.0, 1.5)):
        monkeypatch.setattr(sys.modules[__name__], "DATA", DATA * np.float32(scale))
        graph, _ = made(network)
        (tmp_path / str(number)).mkdir()
        for name, content in _models(graph, network, options).items():
            (tmp_path / str(number) / name).write_bytes(content)
    caches = [read_cache(tmp_path / str(n) / "calibration.cache") for n in range(2)]
    assert caches[0].header == "TRT-8601-EntropyCalibration2"
    assert list(caches[0].scales) == list(caches[1].scales)
    for name in ("model.onnx", "model_int8_qdq.onnx"):
        require_fresh(caches[0], tmp_path / "0" / name, "8.6.1")
        with pytest.raises(InputError, match="its scales are not those that the model"):
            require_fresh(caches[1], tmp_path / "0" / name, "8.6.1")


@pytest.mark.extra("train")
def test_a_run_writes_all_files_and_reads_them_back(tmp_path: Path) -> None:
    """Scales in cache, JSON and QDQ file are the same; nothing needs a plugin; labels in order."""
    recipe = read_recipe(EXAMPLE, {
        "train.epochs": 1, "evaluate.floor": 0.0, "evaluate.max_drop": 1.0, "target.ratios": [],
        "target.ratio": 0.4, "train.retrain.epochs": 1,
    })  # fmt: skip
    run(recipe, tmp_path)
    opened = open_run(tmp_path)
    graph = opened.graph("quantize")
    (file,) = tmp_path.glob("stages/*-compile/**/model_int8_qdq.onnx")
    folder = file.parent
    cache = read_cache(folder / "calibration.cache")
    assert cache.header == "TRT-100300-EntropyCalibration2"
    ranges = json.loads((folder / "tensor_scales.json").read_text())["tensor_scales"]
    assert ranges == tensor_ranges(graph)
    for name, scale in cache.scales.items():
        assert scale == np.float32(graph.tensors[name].format.scale.values()[0])
    assert (folder / "labels.txt").read_text().split() == list("0123456789")
    for name in ("model.onnx", "model_int8_qdq.onnx"):
        model = onnx.load(folder / name)
        assert {node.domain for node in model.graph.node} == {""}
        require_fresh(cache, folder / name, "10.3.0")
    lines = (folder / "trtexec.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[::2]] == [
        "# TensorRT 11", "# TensorRT 10", "# TensorRT 8.5 to 9", "# TensorRT 8.5 to 10"
    ]  # fmt: skip
    for line, path in zip(lines[1::2], ["model_int8_qdq.onnx"] * 3 + ["model.onnx"], strict=True):
        assert shlex.split(line)[:2] == ["trtexec", f"--onnx={path}"]
    assert opened.artifact("compile").notes["command"] == lines[3]
    back = read_integers(folder / "model_int8_qdq.onnx")
    assert set(back.tensors) == set(graph.tensors)


class _Run:
    """As much of a run as the two refusals look at."""

    reference = None
    options = TaoOptions()
    artifact_folder = Path("nowhere")


def test_compile_without_a_float_model_is_refused() -> None:
    """The text says which plan gives it."""
    with pytest.raises(InputError, match="needs the float model"):
        compile_tao(_Run(), made(odd_network())[0])  # type: ignore[arg-type]


def test_an_artifact_without_a_qdq_file_is_refused() -> None:
    """The text says how many there are."""

    class Empty:
        files = ()

    with pytest.raises(InputError, match="holds 0 QDQ files"):
        read_back(_Run(), Empty())  # type: ignore[arg-type]


def test_files_that_were_never_ours_are_refused(tmp_path: Path) -> None:
    """No metadata, wrong metadata."""
    _, model = made(odd_network())
    for value in (None, "maybe"):
        del model.metadata_props[:]
        if value is not None:
            onnx.helper.set_model_props(model, {PER_CHANNEL_KEY: value})
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(InputError, match="no file of the target tao, or is damaged"):
            read_integers(tmp_path / "m.onnx")
