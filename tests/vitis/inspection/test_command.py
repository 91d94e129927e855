"""``nibblefit vitis inspect`` and ``devices``, and the hook of ``nibblefit inspect``."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import typer
from tests.vitis.inspection.models import model, node, weights
from tests.vitis.inspection.test_networks import of_module, resnet18
from torch import nn
from typer.testing import CliRunner

from nibblefit.errors import InputError, WorkspaceError
from nibblefit.nn.capture import capture
from nibblefit.recipe import ModelSection, Recipe, TargetSection
from nibblefit.results import Status
from nibblefit_vitis.devices.catalogue import FINGERPRINTS
from nibblefit_vitis.inspection.command import add
from nibblefit_vitis.inspection.picture import boxes, draw, positions
from nibblefit_vitis.inspection.report import inspect_graph
from nibblefit_vitis.inspection.text import document, text


def run(*words: str) -> str:
    """Return what a command prints; errors are raised."""
    app = typer.Typer()
    add(app)
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """Return a file with an operator of a domain that nobody knows."""
    nodes = [node("Conv", "x w", "conv"), node("Fancy", "conv", "fancy", "com.acme"),
             node("Softmax", "fancy", "out")]  # fmt: skip
    path = tmp_path / "strange.onnx"
    onnx.save(model(nodes, [weights("w", 8, 8, 1, 1)]), path)
    return path


@pytest.mark.extra("report")
def test_text_json_and_picture_are_written(strange: Path, tmp_path: Path) -> None:
    """Named by the DPU; the same outcome in all of them."""
    out = run("inspect", str(strange), "--part", "zcu104", "--out", str(tmp_path / "out"))
    base = tmp_path / "out" / "inspect_DPUCZDX8G_ISA1_B4096"
    assert "1 layers run on the DPU, 2 on the CPU; 1 DPU subgraph" in out
    written = base.with_suffix(".txt").read_text()
    for words in ("Fields", "fingerprint          0x0101000056010407",
                  "constraint:   the DPU's compiler does not know this operator",
                  "rewrite:      leave it to the end", "output:       1×16×16×8"):  # fmt: skip
        assert words in written
    found = json.loads(base.with_suffix(".json").read_text())
    assert [one["device"] for one in found["layers"]] == ["DPU", "CPU", "CPU"]
    assert found["layers"][0]["output_nhwc"] == [1, 16, 16, 8]
    assert [one["device"] for one in found["subgraphs"]] == ["user", "DPU", "CPU"]
    assert base.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    run("inspect", str(strange), "--out", str(tmp_path / "out"), "--image", "svg")
    drawn = base.with_suffix(".svg").read_text()
    for color in ("#1f5fbf", "#c62828"):
        assert color in drawn


def test_json_stands_alone_and_pictures_may_be_left_out(strange: Path, tmp_path: Path) -> None:
    """Nothing but JSON on the output, and two files only."""
    text = run("inspect", str(strange), "--json", "--out", str(tmp_path / "o"), "--image", "none")
    assert len(json.loads(text)["files"]) == 2
    assert len(list((tmp_path / "o").iterdir())) == 2


def test_factories_are_inspected(root: Path) -> None:
    """A torch network by path, with the shape that its file or the option states."""
    source = f"{root}/examples/networks/digits_cnn.py:build"
    assert "on the CPU" not in run("inspect", source, "--input-shape", "1,8,8")


def test_wrong_requests_are_refused(strange: Path, tmp_path: Path) -> None:
    """Pictures, parts, folders and files that are none."""
    for words, message in (
        ((str(strange), "--image", "gif"), "--image gif"),
        ((str(strange), "--part", "kv26"), "no DPU or board 'kv26'"),
        ((str(strange), "--image", "svg"), "--image svg has no effect: without --out"),
        ((str(tmp_path / "none.onnx"),), "cannot be read"),
        ((str(strange), "--input-shape", "1,99999999999"), "99,999,999,999 numbers"),
    ):
        with pytest.raises(InputError, match=message):
            run("inspect", *words)
    with pytest.raises(WorkspaceError, match="a file stands where a folder is needed"):
        run("inspect", str(strange), "--out", f"{strange}/x")
    with pytest.raises(InputError):
        run("inspect", "none.py:build")


def test_a_given_shape_fills_what_a_file_leaves_open_and_contradicts_nothing(
    tmp_path: Path,
) -> None:
    """Open sizes are taken from the option; other sizes, and several inputs, are refused."""
    fancy = [node("Conv", "x w", "conv"), node("Fancy", "conv", "out", "com.acme")]
    made = model(fancy, [weights("w", 8, 8, 1, 1)])
    path = tmp_path / "open.onnx"
    for axis in (2, 3):
        made.graph.input[0].type.tensor_type.shape.dim[axis].ClearField("dim_value")
    onnx.save(made, path)
    shapes = [json.loads(run("inspect", str(path), "--json", *more))["layers"][0]["output_nhwc"]
              for more in ((), ("--input-shape", "8,5,7"))]  # fmt: skip
    assert shapes == [None, [1, 5, 7, 8]]
    with pytest.raises(InputError, match=r"--input-shape is \(3, 5, 7\)"):
        run("inspect", str(path), "--input-shape", "3,5,7")
    made.graph.input.append(onnx.ValueInfoProto(name="other"))
    onnx.save(made, path)
    with pytest.raises(InputError, match="2 inputs"):
        run("inspect", str(path), "--input-shape", "8,5,7")


def test_devices_are_listed_and_explained() -> None:
    """All names; of one, its limits and feature code."""
    rows = json.loads(run("devices", "--json"))["rows"]
    assert {row[0] for row in rows} == {*FINGERPRINTS}
    one = json.loads(run("devices", "0x101000016010407", "--json"))
    assert one["weight buffer"] == "16 banks × 16 × 2048 rows"
    assert "argmax 0" in one["feature code"]
    assert "8 × 16 × 16" in run("devices")
    assert "only convolutions are published" in run("devices", "DPUCADF8H_ISA0")


def test_the_hook_reports_every_layer() -> None:
    """One finding per layer, warnings with what to do, counts of core beside."""
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.LeakyReLU(0.1), nn.Conv2d(8, 8, 3), nn.Sigmoid())
    found = inspect_graph(capture(module.eval(), (3, 9, 9), name="net"), "kv260", None)
    assert found.metrics["on_cpu"] == 1.0
    assert found.metrics["dpu_subgraphs"] == 1.0
    assert found.metrics["parameters"] == 3 * 8 * 9 + 8 + 8 * 8 * 9 + 8
    warned = {one.where: one for one in found.findings if one.status is Status.WARNING}
    assert set(warned) == {"1", "3", ""}
    assert "26/256" in warned["1"].message
    assert "hard-sigmoid" in warned["3"].hint
    assert not found.failed


def test_a_large_network_is_drawn_without_overlaps(tmp_path: Path) -> None:
    """ResNet-18: boxes apart from each other, and every layer is in one of them."""
    found = of_module(resnet18(), (3, 64, 64))
    assert len(found.placements) > 60
    made = boxes(found)
    places = sorted(positions(made).values())
    assert len({*places}) == len(made)
    for place, (x, y) in enumerate(places):
        for other_x, other_y in places[place + 1 :]:
            assert abs(x - other_x) >= 2.3 or abs(y - other_y) >= 0.42
    assert text(found).count("operator:") == len(found.placements) == len(document(found)["layers"])
    with pytest.raises(InputError, match="no kind of picture"):
        draw(found, tmp_path / "a.gif")


@pytest.mark.extra("report")
def test_a_long_network_is_drawn_in_columns(tmp_path: Path) -> None:
    """Shortcuts bend round the boxes; an edge between columns is named at both ends."""
    found = of_module(resnet18(), (3, 64, 64))
    draw(found, tmp_path / "long.svg")
    drawn = (tmp_path / "long.svg").read_text()
    assert "<!-- from 10.conv1 -->" in drawn
    assert "<!-- to 10.conv2 -->" in drawn
    assert drawn.count("<!-- conv + batch_norm") == 20


@pytest.mark.extra("report")
def test_a_picture_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A folder that is not there."""
    found = of_module(nn.Sequential(nn.Conv2d(3, 8, 3)), (3, 9, 9))
    with pytest.raises(WorkspaceError, match="there is no such folder"):
        draw(found, tmp_path / "none" / "a.png")


def test_a_recipes_dpu_counts_before_its_part(tmp_path: Path) -> None:
    """By name, fingerprint, or an arch.json beside the recipe."""
    graph = capture(nn.Sequential(nn.Conv2d(3, 8, 3)).eval(), (3, 9, 9), name="net")
    (tmp_path / "arch.json").write_text('{"fingerprint": "0x101000056010200"}')
    for arch, dpu in (("", "B4096"), ("DPUCZDX8G_ISA1_B800", "B800"), ("arch.json", "B512")):
        target = TargetSection.model_validate({"name": "vitis", "arch": arch})
        model_section = ModelSection(source="net.py:build")
        recipe = Recipe(model=model_section, target=target, folder=str(tmp_path))
        assert inspect_graph(graph, "kv260", recipe).subject.endswith(f"ISA1_{dpu}")
