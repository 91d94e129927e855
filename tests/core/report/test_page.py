"""The page: self-contained, safe, small, and showing the numbers it was given."""

from __future__ import annotations

import base64
import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from nibblefit.report.contents import (
    Banks,
    Bar,
    Bars,
    Confusion,
    Contents,
    FileRow,
    Grid,
    Headline,
    Histogram,
    Image,
    Measured,
    Span,
    StepRow,
    Timeline,
    Tone,
    Training,
)
from nibblefit.report.page import page
from nibblefit.results import Finding, Status, Table
from nibblefit.tasks.classification import Classification
from nibblefit.tasks.detection.task import Detection
from nibblefit.tasks.reconstruction import Reconstruction
from nibblefit.tasks.segmentation import Segmentation

pytestmark = pytest.mark.extra("report")

HOSTILE = '<script>alert("x")</script>&'


def _contents(layers: int = 4) -> Contents:
    names = [f"layer{index}" for index in range(layers)]
    epochs = tuple({"train_loss": 2.0 / (e + 1), "val_loss": 2.5 / (e + 1), "val_top1": e / 10}
                   for e in range(10))  # fmt: skip
    spans = tuple(Span(name, write, 0, 500) for name in names for write in (False, True))
    nearly = Finding("a.b", Status.WARNING, "nearly full", "layer0", "use less")
    return Contents(
        title="small_cnn",
        target="toychip",
        part="toy1",
        folder="digits",
        headlines=(Headline("Integer graph", "98.61 %", "drop 0.28 points", Tone.GOOD),),
        measured=(
            Measured("evaluate_float", "float model", {"top1": 0.9889, "loss": 0.0421}),
            Measured("evaluate", "integer graph", {"top1": 0.9861, "loss": 0.05, "macs": 77.0}),
        ),
        trainings=(Training("float", epochs), Training("qat", epochs)),
        noise=(Bars("Noise", tuple(Bar(name, 0.5, "31.5 dB") for name in names)),),
        sizes=(Bars("Size", tuple(Bar(name, 0.5, "1.5 KiB") for name in names)),),
        histograms=tuple(Histogram(f"{n}.weight", (-8.0, 0.0, 7.0), (3, 5)) for n in names),
        confusions=(Confusion("integer graph", ("cat", "dog"), ((17, 3), (2, 18))),),
        memory=(
            Banks("Weights", "words", (100, 900), (768, 768), 2, "processor"),
            Timeline("Data", "bytes", 1000, spans),
            Grid("Fill", "bytes", ("layer0", "layer1"), ((0, 500), (1000, 1200)), 1000, "bank"),
        ),
        findings=(("prepare", nearly),),
        tables=(("prepare", Table("Support", ("layer", "kernels"), (("layer0", 1234),))),),
        steps=(StepRow("float", "train", "done", 43.21, "train.epochs 30 → 40"),),
        files=(FileRow("yaml", "stages/compile/net.yaml", 2311, "ab" * 32),),
        recipe='[model]\nsource = "net.py:f"\n',
        provenance=(("recipe", "cd" * 32),),
    )


class _Reader(HTMLParser):
    """Collects tags, attributes that load things, ids, references to ids, and visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.refers: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in {"meta", "path", "br", "rect", "use"}:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"href", "xlink:href", "src", "srcset", "action", "data", "poster"}:
                self.loads.append((tag, value or ""))
            self.refers |= set(re.findall(r"url\(#([^)]+)\)", value or ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag, f"{tag} closes out of order"

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(text: str) -> _Reader:
    reader = _Reader()
    reader.feed(text)
    return reader


@pytest.fixture(scope="module")
def shown() -> str:
    """Return a page with every section."""
    return page(_contents())


def test_page_needs_nothing_but_itself(shown: str) -> None:
    """No address of another document, no script, and every reference stays inside the page."""
    reader = _read(shown)
    assert "://" not in shown
    assert not {"script", "link", "iframe", "object", "embed", "img"} & set(reader.tags)
    assert all(target.startswith("#") for _, target in reader.loads)
    assert {target[1:] for _, target in reader.loads} <= set(reader.ids)
    assert reader.refers <= set(reader.ids)
    assert "@import" not in shown


def test_page_is_well_formed(shown: str) -> None:
    """All elements are closed in order and ids are unique."""
    reader = _read(shown)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))


def test_page_shows_the_numbers(shown: str) -> None:
    """Every number and name that was given can be read."""
    text = " ".join(_read(shown).text.split())
    for expected in (
        "small_cnn on toy1", "98.61 %", "98.89 %", "0.0421", "0.28 points", "31.5 dB", "1.5 KiB",
        "layer3", "layer0.weight", "cat", "17", "18", "1,000 of 1,536 words", "500 of 1,000 bytes",
        "nearly full", "→ use less", "1,234", "train.epochs 30 → 40", "43.2 s", "net.yaml",
        "2.3 KiB", "ab" * 32, 'source = "net.py:f"', "cd" * 32, "val_loss", "epoch",
    ):  # fmt: skip
        assert expected in text, expected
    # Only what several subjects have can be compared.
    assert "macs" not in text


def test_page_is_small() -> None:
    """A network of 120 layers stays far under two megabytes."""
    assert len(page(_contents(120)).encode()) < 1_000_000


def test_empty_sections_are_left_out() -> None:
    """A page without results has no empty headings and links to none."""
    text = page(Contents("net", "toychip", "", "run"))
    assert "<h2" not in text
    assert "net on toychip" in text


def test_text_is_never_markup() -> None:
    """Names and recipe texts cannot smuggle in elements."""
    hostile = replace(
        _contents(),
        title=HOSTILE,
        recipe=HOSTILE,
        noise=(Bars(HOSTILE, (Bar(HOSTILE, 1.0, HOSTILE),)),),
        trainings=(Training(HOSTILE, ({"loss": 1.0},)),),
        memory=(Timeline(HOSTILE, HOSTILE, 10, (Span(HOSTILE, True, 0, 5),)),),
        findings=((HOSTILE, Finding(HOSTILE, Status.FAILED, HOSTILE, HOSTILE, HOSTILE)),),
        confusions=(Confusion(HOSTILE, (HOSTILE, "b"), ((1, 1), (1, 1))),),
    )
    text = page(hostile)
    assert "<script" not in text
    assert html.escape(HOSTILE, quote=False)[:20] in text
    assert "script" not in _read(text).tags


def test_same_contents_same_bytes(shown: str) -> None:
    """The page depends on its contents alone, so reports can be compared."""
    assert page(_contents()) == shown


def test_many_classes_become_a_list_of_mistakes() -> None:
    """A matrix of 30 classes is replaced by its most frequent mistakes."""
    counts = [[0] * 30 for _ in range(30)]
    counts[3][7] = 9
    counts[3][3] = 91
    names = tuple(f"class{i}" for i in range(30))
    matrix = Confusion("x", names, tuple(map(tuple, counts)))
    text = page(replace(_contents(), confusions=(matrix,)))
    assert 'class="confusion"' not in text
    assert "30 classes" in text
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", text)
    start = cells.index("class3")
    assert cells[start : start + 4] == ["class3", "class7", "9", "9.0 %"]


def test_colours_are_legible_in_both_schemes(shown: str) -> None:
    """Text colours differ from the paper by a contrast of at least 4.5, in light and dark."""
    blocks = re.findall(r":root \{(.*?)\}", shown, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for name in ("ink", "muted", "good", "bad", "warn", "series-1"):
            for ground in ("paper", "panel"):
                assert _contrast(colors[name], colors[ground]) >= 4.5, (name, ground)


def _contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2.1, section 1.4.3."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("task", [Classification, Detection, Segmentation, Reconstruction])
def test_what_judges_a_task_is_drawn_over_epochs(task: type[Any]) -> None:
    """The metric of every task has a curve, from the name it has in a training's history."""
    epochs = tuple({f"validation_{task.metric}": 0.1 * e} for e in range(3))
    text = page(replace(_contents(), trainings=(Training("float", epochs),)))
    assert f"<h3>float: {task.metric}</h3>" in text


def test_what_an_inspection_accepts_is_folded_away() -> None:
    """Warnings and what steps found stand in the open; accepted layers are counted, and there."""
    fine = tuple(("inspection", Finding("support", Status.PASSED, f"conv number {i}"))
                 for i in range(3))  # fmt: skip
    exact = ("evaluate", Finding("exact.engine", Status.PASSED, "judge and engine agree"))
    lost = ("inspection", Finding("support", Status.FAILED, "no such layer"))
    text = page(replace(_contents(), findings=(*fine, exact, lost)))
    section = text[text.index('<h2 id="findings">') : text.index('<h2 id="tables">')]
    folded = section.index("3 findings of the inspection passed")
    assert section.index("judge and engine agree") < folded
    assert section.index("no such layer") < folded
    assert section.index("conv number 2") > folded
    assert "of the inspection passed" not in page(_contents())


def test_a_long_series_of_files_takes_one_row() -> None:
    """Ten frames are one row with their total; every digest is still on the page."""
    frames = tuple(FileRow("frame", f"c/{i:04d}.bin", 1024, f"{i:064x}") for i in range(10))
    others = tuple(FileRow("script", f"s{i}.py", 10, f"{i + 90:064x}") for i in range(3))
    text = page(replace(_contents(), files=(*frames, *others)))
    assert "c/0000.bin … c/0009.bin (10 files)" in text
    assert "10.0 KiB" in text
    assert all(text.count(file.sha256) == 1 for file in (*frames, *others))
    assert text.count('<td class="word">script</td>') == 3
    assert text.count('<td class="word">frame</td>') == 1


def test_pictures_made_elsewhere_are_inside() -> None:
    """PNG bytes come back out of the page unchanged, under their heading."""
    png = bytes(range(256))
    text = page(replace(_contents(), images=(Image("Scatter", png, "right on the line"),)))
    (found,) = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert base64.b64decode(found) == png
    assert '<a href="#pictures">Pictures</a>' in text
    assert "Scatter" in text
    assert "right on the line" in text
    assert "pictures" not in page(_contents())
