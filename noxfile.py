"""The per-plugin matrix: core alone, core with each plugin alone (from wheels), and all together.

Torch is large, so it is installed once: every session sees the site-packages of the interpreter
that runs nox for torch alone, through a path file, and installs everything else itself.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PLUGINS = sorted(p.parent.name for p in (ROOT / "plugins").glob("*/pyproject.toml"))
TEST_TOOLS = ["pytest>=8.0", "hypothesis>=6.100", "onnxruntime>=1.18"]

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["core_alone", "plugin_alone", "together"]


def _wheel(session: nox.Session, project: str) -> str:
    """Build one distribution's wheel and return its path."""
    out = ROOT / "dist" / project.replace("/", "-")
    session.run("python", "-m", "build", "--wheel", "--outdir", str(out), project, silent=True)
    return str(max(out.glob("*.whl"), key=lambda path: path.stat().st_mtime))


def _share_torch(session: nox.Session) -> None:
    """Make the torch beside nox importable in the session, so that it is installed only once."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        session.install("-c", "constraints/test.txt", "torch")
        return
    site = Path(spec.origin).parent.parent
    target = session.run(
        "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", silent=True
    )
    wanted = ("torch", "torchgen", "functorch", "nvidia", "sympy", "mpmath", "networkx", "jinja2",
              "markupsafe", "filelock", "fsspec", "typing_extensions.py")  # fmt: skip
    folder = Path(str(target).strip())
    for entry in site.iterdir():
        stem = entry.name.split("-")[0].lower()
        if entry.name.lower() in wanted or (
            entry.suffix == ".dist-info"
            and f"{stem}" in {name.removesuffix(".py") for name in wanted}
        ):
            link = folder / entry.name
            if not link.exists():
                link.symlink_to(entry)


def _install(session: nox.Session, plugins: list[str], extras: str = "") -> None:
    session.install("build", "hatchling")
    _share_torch(session)
    core = _wheel(session, "core")
    wheels = [_wheel(session, f"plugins/{name}") for name in plugins]
    session.install("-c", "constraints/test.txt", core + extras, *wheels, *TEST_TOOLS)


@nox.session
def core_alone(session: nox.Session) -> None:
    """Core without any extra and without any plugin."""
    _install(session, [])
    session.run("python", "-m", "pytest", "tests/core", "-q", *session.posargs)


@nox.session
@nox.parametrize("plugin", PLUGINS)
def plugin_alone(session: nox.Session, plugin: str) -> None:
    """Core and one plugin, from wheels."""
    _install(session, [plugin], extras="[train,image]")
    session.run("python", "-m", "pytest", f"tests/{plugin}", "tests/matrix", "-q", *session.posargs)


@nox.session
def together(session: nox.Session) -> None:
    """Core with all extras and every plugin, from wheels."""
    _install(session, PLUGINS, extras="[all]")
    session.run("python", "-m", "pytest", "tests", "-q", *session.posargs)


@nox.session
def thirdparty(session: nox.Session) -> None:
    """A stranger's target, built as a wheel, against the installed kit."""
    _install(session, [], extras="[conformance]")
    session.install("--no-deps", _wheel(session, "tests/thirdparty/toychip"))
    session.run("python", "-m", "pytest", "tests/thirdparty/toychip/tests", "-q")
