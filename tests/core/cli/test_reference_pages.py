"""The generated reference pages are what the code says today."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import tomli


@pytest.fixture(scope="module")
def generate(root: Path) -> ModuleType:
    """Return docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("generate", root / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_up_to_date(
    generate: ModuleType, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``python docs/generate.py --check`` finds nothing stale."""
    projects = (root / "plugins").glob("*/pyproject.toml")
    plugins = {
        tomli.loads(path.read_text(encoding="utf-8"))["project"]["name"] for path in projects
    }
    missing = sorted(plugins - {d.name for d in importlib.metadata.distributions()})
    if missing:
        pytest.skip(f"the pages list options of {', '.join(missing)}, not installed here")
    code = generate.main(["--check"])
    assert code == 0, f"run `python docs/generate.py`: {capsys.readouterr().out}"


def test_stale_page_is_named(
    generate: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A page that differs is named and the check fails; writing repairs it."""
    monkeypatch.setattr(generate, "REFERENCE", tmp_path)
    monkeypatch.setattr(generate, "pages", lambda: {"a.md": "new\n", "b.md": "same\n"})
    (tmp_path / "a.md").write_text("old\n", encoding="utf-8")
    (tmp_path / "b.md").write_text("same\n", encoding="utf-8")
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().out == "stale: docs/reference/a.md\n"
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_hooks_page_has_every_hook(generate: ModuleType) -> None:
    """Each hook stands there with its signature."""
    page = generate.hooks_page()
    for line in ("def prepare(run: Run, graph: Graph) -> Model", "def read_back(", "def plan("):
        assert line in page


def test_manifest_is_toml_with_signatures(generate: ModuleType) -> None:
    """The manifest parses and holds signatures of the contract."""
    manifest = tomli.loads(generate.api_manifest())
    hooks = manifest["nibblefit.hooks"]
    assert hooks["StageSpecs.train"] == "(self, run: Run, model: Model) -> Model"
    assert manifest["nibblefit.report.build"]["build_report"].startswith("(run_folder: Path | str")
    assert not any(name.startswith("nibblefit.cli") for name in manifest)
