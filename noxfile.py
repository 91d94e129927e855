"""The per-plugin matrix: core alone, core with each plugin alone (from wheels), and all together.

Torch is large, so it is installed once: every session links torch, and what torch alone needs, from
the environment of the interpreter that runs nox, and installs everything else itself. A plugin is
any folder below ``plugins`` with a project file; its tests are in the folder of the same name
below ``tests``.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PLUGINS = sorted(p.parent.name for p in (ROOT / "plugins").glob("*/pyproject.toml"))
#: What the tests themselves import; nothing of it is imported by nibblefit.
TEST_TOOLS = [
    "pytest>=8.0", "pytest-xdist>=3.6", "pytest-timeout>=2.3", "hypothesis>=6.100",
    "onnxruntime>=1.18", "onnxscript", "safetensors>=0.4",
]  # fmt: skip
PYTEST = (
    "python",
    "-m",
    "pytest",
    "-q",
    "--numprocesses=auto",
    "--maxprocesses=8",
    "--dist=worksteal",
)
#: Distributions that only torch needs: the parts of them that are linked, not installed.
TORCH = {
    "torch", "torchgen", "functorch", "nvidia", "triton", "sympy", "isympy", "mpmath", "networkx",
    "filelock", "fsspec",
}  # fmt: skip

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["core_alone", "plugin_alone", "thirdparty", "together"]


def _wheel(session: nox.Session, project: str) -> str:
    """Build one distribution's wheel with the session's hatchling and return its path."""
    out = ROOT / "dist" / "nox" / project.replace("/", "-")
    for old in out.glob("*.whl"):
        old.unlink()
    session.run(
        "python", "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), project,
        silent=True,
    )  # fmt: skip
    (wheel,) = out.glob("*.whl")
    return str(wheel)


def _share_torch(session: nox.Session) -> None:
    """Make the torch beside nox importable in the session, so that it is installed only once."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        session.install("-c", "constraints/test.txt", "torch")
        return
    target = session.run(
        "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", silent=True
    )
    folder = Path(str(target).strip())
    for entry in Path(spec.origin).parent.parent.iterdir():
        # A distribution's folder is "name", its metadata "name-version.dist-info".
        name = entry.name.removesuffix(".py").split("-")[0].lower()
        link = folder / entry.name
        if name in TORCH and not link.exists():
            link.symlink_to(entry)


def _install(session: nox.Session, plugins: list[str], extras: str = "") -> None:
    session.install("build", "hatchling")
    _share_torch(session)
    core, *others = (_wheel(session, p) for p in ("core", *(f"plugins/{n}" for n in plugins)))
    # A wheel of the same version may have changed since this environment was made.
    session.install("--force-reinstall", "--no-deps", core, *others)
    wanted = [core + extras, *(f"{wheel}[all]" for wheel in others)]
    session.install("-c", "constraints/test.txt", *wanted, *TEST_TOOLS)


@nox.session
def core_alone(session: nox.Session) -> None:
    """Core without any extra and without any plugin."""
    _install(session, [])
    session.run(*PYTEST, "tests/core", "tests/matrix", *session.posargs)


@nox.session
@nox.parametrize("plugin", PLUGINS, ids=PLUGINS)
def plugin_alone(session: nox.Session, plugin: str) -> None:
    """Core and one plugin, from wheels."""
    _install(session, [plugin], "[train,image]")
    session.run(*PYTEST, f"tests/{plugin}", "tests/matrix", *session.posargs)


@nox.session
def thirdparty(session: nox.Session) -> None:
    """A stranger's target, built as a wheel, against the installed kit."""
    _install(session, [], "[conformance]")
    toychip = "tests/thirdparty/toychip"
    session.install("--force-reinstall", "--no-deps", _wheel(session, toychip))
    session.run("nibblefit", "check", "toychip")
    session.run("python", "-m", "pytest", "-q", "--rootdir", toychip, f"{toychip}/tests")


@nox.session
def together(session: nox.Session) -> None:
    """Core with all extras and every plugin, from wheels: the whole suite."""
    _install(session, PLUGINS, "[all]")
    session.run(*PYTEST, "tests", *session.posargs)
