"""Every recorded configuration is accepted or refused as the original did it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nibblefit.errors import InputError
from nibblefit_vitis.configuration.read import read_configuration

BOTH, DEFAULT = (False, True), (False,)
#: File → the modes that depart from the record, and the documented reason.
DEPARTURES = {
    "bfloat16_config.json": (BOTH, "bfloat16 is refused by name"),
    "mix_precision_config.json": (BOTH, "bfloat16 and float16 are refused by name"),
    "gemm88_config.json": (BOTH, "float32 is refused by name"),
    "cpu_bf16.json": (BOTH, "bfloat16 is refused by name"),
    "bad_percentage_int_REJECT.json": (DEFAULT, ("a whole number is a number; the original's "
                                       "message denies that 99 is between 0 and 100")),
    "cpu_mse_stdround.json": (BOTH, ("the original accepts it and stops with a TypeError, because "
                              "its search compares an unset scale; ours computes it")),
    "cpu_unsigned_act.json": (BOTH, ("the original accepts it and stops with a TypeError at the "
                              "first negative value, which is a matter of the data")),
}  # fmt: skip


def files(shared: Path) -> list[Path]:
    """Return all recorded configurations."""
    vendor = shared / "vendor" / "vitis"
    return [*sorted((vendor / "configs_repo").glob("*.json")),
            *sorted((vendor / "configs_used").glob("*.json"))]  # fmt: skip


def recorded(shared: Path) -> dict[str, int]:
    """Return the exit status that the original gave for each file of the sweep."""
    text = (shared / "vendor/vitis/config_sweep_summary.txt").read_text()
    blocks = (block.split() for block in text.split("==\n") if block.strip())
    return {f"{words[0]}.json": int(words[2]) for words in blocks}


def is_accepted(path: Path, *, parity: bool) -> bool:
    """Return whether ours takes a file."""
    try:
        read_configuration(path, parity=parity)
    except InputError:
        return False
    return True


@pytest.mark.parametrize("parity", [False, True])
def test_recorded_files_are_accepted_or_refused_as_recorded(shared: Path, parity: bool) -> None:
    """Status 0 is accepted, 2 is refused; departures are those of the table, and all of them."""
    results = recorded(shared)
    departed = set()
    for path in files(shared):
        # The repository's own examples have no record: they are there to be accepted. Status 1
        # is a crash behind an accepted configuration, which a departure from counts as one.
        expected = results.get(path.name, 0) == 0
        if is_accepted(path, parity=parity) != expected:
            departed.add(path.name)
    assert departed == {name for name, (modes, _) in DEPARTURES.items() if parity in modes}
    assert len(files(shared)) == 43


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bad_act_perchannel_REJECT", ("per_channel = true", "false", "only weights")),
        ("bad_asym_entropy_REJECT", ("symmetry = false", "accepted here is true", "entropy")),
        ("bad_keyword_REJECT", ("'includecle'", "did you mean 'include_cle'?")),
        ("bad_modal_float_REJECT", ('"modal"', '"max", "mean", "median"')),
        ("bad_pow2_percentile_REJECT", ('"percentile"', '"diffs", "maxmin"')),
        ("dpu_narrow_REJECT", ("narrow_range = true", '"narrow_range": false')),
        ("dpu_acthalfeven_REJECT", (
            "activation", '"std_round"', '"half_up"',
            '"tensor_quantize_config": {"activation": {"round_mode": "half_up"}}',
        )),
    ],
)  # fmt: skip
def test_a_refusal_states_line_key_value_accepted_values_and_fix(
    shared: Path, name: str, words: tuple[str, ...]
) -> None:
    """One message has everything needed to mend the file, and its line is the key's."""
    path = shared / "vendor/vitis/configs_used" / f"{name}.json"
    with pytest.raises(InputError) as caught:
        read_configuration(path)
    text = str(caught.value)
    assert all(word in text for word in words), text
    key = (
        "includecle"
        if "keyword" in name
        else text.split(": ")[1].split(" = ", maxsplit=1)[0].rsplit(".", maxsplit=1)[-1]
    )
    assert f'"{key}":' in path.read_text().splitlines()[int(text.split(":")[1]) - 1]
    assert caught.value.exit_code == 2


def test_parity_reports_what_the_original_ignores(shared: Path) -> None:
    """Settings without effect there are notes, among them the method for a DPU."""
    used = shared / "vendor/vitis/configs_used"
    notes = "\n".join(read_configuration(used / "dpu_maxmin.json", parity=True).notes)
    assert "method is ignored" in notes
    assert "round_mode of input is ignored" in notes
    assert "every ReLU6 becomes ReLU" in notes
    assert not read_configuration(used / "dpu_maxmin.json").notes
    stops = read_configuration(used / "cpu_mse_stdround.json", parity=True).notes
    assert any("TypeError" in note for note in stops)


def test_the_file_is_kept_as_written(shared: Path) -> None:
    """What is read says again what the file says, key by key."""
    for path in files(shared):
        if is_accepted(path, parity=False):
            text = json.loads(path.read_text())
            for entry in text.get("layer_quantize_config", ()):
                for key in [key for key, value in entry.items() if value is None]:
                    del entry[key]
            assert read_configuration(path).written() == text
