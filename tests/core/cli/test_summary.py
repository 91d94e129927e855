"""The table of written files at the end of a run."""

from __future__ import annotations

from nibblefit.cli.summary import Summary, file_table
from nibblefit.report.contents import FileRow


def test_a_long_series_of_one_role_takes_one_row() -> None:
    """Fifty frames do not push the result off the screen; a few files are listed singly."""
    frames = tuple(FileRow("frame", f"c/{i:02d}.bin", 256, "") for i in range(50))
    few = tuple(FileRow("integers", f"i/{i}", 10, "") for i in range(2))
    files = (FileRow("model", "net.onnx", 100, ""), *frames, *few)
    summary = Summary("run", (), "", (), None, None, None, None, files)
    assert file_table(summary).rows == (
        ("model", "run/net.onnx", "100 B"),
        ("frame", "run/c/00.bin … c/49.bin (50 files)", "12.5 KiB"),
        ("integers", "run/i/0", "10 B"),
        ("integers", "run/i/1", "10 B"),
    )
