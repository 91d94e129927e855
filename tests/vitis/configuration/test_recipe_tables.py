"""The same settings as a recipe, both ways, and the presets."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vitis.configuration.test_rules import KINDS, devices, settings

from nibblefit.errors import InputError
from nibblefit_vitis.configuration.layer_options import LayerOptions
from nibblefit_vitis.configuration.presets import PRESETS, REFUSED, preset, preset_document
from nibblefit_vitis.configuration.read import parse_configuration, read_configuration
from nibblefit_vitis.configuration.recipe_tables import (
    configuration_of,
    json_text,
    read_recipe_configuration,
    recipe_findings,
    recipe_tables,
    recipe_text,
)
from nibblefit_vitis.configuration.repair import repaired

names = st.sampled_from(["Conv2d", "a.b", 'x"y', "layer.*", "Net::Net/Conv2d[c]/ret.3", "é"])
entries = st.fixed_dictionaries(
    {"quantizable_data_type": st.sets(st.sampled_from(KINDS), min_size=1).map(sorted),
     "overall_quantize_config": settings},
).flatmap(lambda one: st.tuples(st.sampled_from(["layer_type", "layer_name"]), names).map(
    lambda pair: {**one, pair[0]: pair[1]}))  # fmt: skip


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Return a legal file."""
    document: dict[str, Any] = {
        "target_device": draw(devices),
        "include_cle": draw(st.booleans()),
        "overall_quantize_config": draw(settings),
        "tensor_quantize_config": {draw(st.sampled_from(KINDS)): {"bit_width": 8}},
    }
    found = draw(st.lists(entries, max_size=3, unique_by=lambda one: (
        one.get("layer_type", "").rsplit(".")[-1], one.get("layer_name"))))  # fmt: skip
    return repaired({**document, "layer_quantize_config": found} if found else document)[0]


@given(document=configurations())
def test_file_to_recipe_and_back_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    """As TOML text and as JSON text, every legal configuration survives both ways."""
    configuration = parse_configuration(document)
    folder = tmp_path_factory.getbasetemp()
    (folder / "recipe.toml").write_text(recipe_text(configuration))
    back, parity = read_recipe_configuration(folder / "recipe.toml")
    assert not parity
    assert back.model_dump() == configuration.model_dump()
    (folder / "config.json").write_text(json_text(back))
    assert read_configuration(folder / "config.json") == configuration


def test_entries_of_a_recipe_come_behind_those_of_a_file(tmp_path: Path) -> None:
    """A recipe may name a file or a preset, and add layers to it."""
    (tmp_path / "config.json").write_text('{"target_device": "DPU", "layer_quantize_config": '
                                          '[{"layer_type": "a.Conv2d", "quantizable_data_type": '
                                          '["weights"]}]}')  # fmt: skip
    layers = {"type:Linear": {"method": "maxmin"}, "conv*": {
        "quantizable_data_type": ["weights"], "weights": {"method": "maxmin"}}}  # fmt: skip
    for name, before in (("config.json", ["Conv2d"]), ("dpu", [])):
        found = configuration_of({"configuration": name}, layers, tmp_path)
        listed = found.layer_quantize_config
        assert [one.named for one in listed] == [*before, "Linear", "conv*"]
        assert set(listed[-2].quantizable_data_type) == set(KINDS)
        assert listed[-1].tensor_quantize_config.weights.method == "maxmin"


def test_problems_of_a_recipe_name_its_keys(tmp_path: Path) -> None:
    """Findings point at target.settings, quantize.layers or target.configuration."""
    target = {"settings": {"include_cle": 3}}
    layers = {"conv1": {"narrow_range": True, "weights": {"bit_width": "x"}}}
    found = recipe_findings(target, layers, tmp_path)
    assert {one.where for one in found} == {
        "target.settings.include_cle", "quantize.layers.conv1.weights.bit_width",
        "quantize.layers.conv1.narrow_range",
    }  # fmt: skip
    assert all(one.hint for one in found)
    assert len(recipe_findings({**target, "parity": True}, layers, tmp_path)) == 1
    assert not recipe_findings({}, {}, tmp_path)
    (missing,) = recipe_findings({"configuration": "none.json"}, {}, tmp_path)
    assert missing.where == "target.configuration"
    (tmp_path / "bad.json").write_text('{"target_device": "DPU",\n"x": 1}')
    (named,) = recipe_findings({"configuration": "bad.json"}, {}, tmp_path)
    assert named.where == "target.configuration"
    (wrong,) = recipe_findings({}, {"conv1": 3}, tmp_path)
    assert "accepted is an object" in wrong.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[target\n", "not readable as TOML"),
        ("target = 3", "'target' is no table"),
        ("[quantize]\nlayers = 3", "no recipe, without"),
        ("[target]\n[quantize]\nlayers = 3", "'layers' is no table"),
        ("[target]\nname = 'tidl'", "is for target 'tidl'"),
        ("[target]\nconfiguration = 'dpux'", r"neither a preset nor a file in [\s\S]*'dpu'\?"),
        ("[target]\nconfiguration = 'none.json'", r"none.json cannot be read[\s\S]*check the path"),
        ("[target]\nconfiguration = 'gemm88_config'", "quantizes to float32"),
        ("[target.settings]\nmethod = 'mse'", r"\[target.settings\]: unknown key 'method'"),
    ],
)
def test_recipes_that_cannot_be_used_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:  # fmt: skip
    """One line each."""
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_recipe_configuration(tmp_path / "recipe.toml")


def test_the_mode_of_a_recipe_is_its_own_or_asked_for(tmp_path: Path) -> None:
    """The line parity = true stands in the recipe that is written in that mode."""
    text = recipe_text(preset("uif", parity=True), parity=True)
    assert tomllib.loads(text)["target"]["parity"] is True
    (tmp_path / "recipe.toml").write_text(text)
    assert read_recipe_configuration(tmp_path / "recipe.toml")[1]
    (tmp_path / "recipe.toml").write_text("[target]\n")
    assert read_recipe_configuration(tmp_path / "recipe.toml", parity=True)[1]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("parity", [False, True])
def test_presets_are_legal_in_both_modes(name: str, parity: bool) -> None:
    """Every preset that comes with the plugin can be used as it is."""
    assert preset(name, parity=parity).written() == preset_document(name)


def test_presets_agree_with_the_originals_examples(shared: Path) -> None:
    """Where there is a file of that name, both merge to the same settings for the network."""
    from nibblefit_vitis.configuration.merging import merge

    folder = shared / "vendor" / "vitis" / "configs_repo"
    assert {path.stem for path in folder.glob("*.json")} == {*PRESETS, *REFUSED} - {"dpu"}
    for name in set(PRESETS) - {"dpu"}:
        theirs = merge(read_configuration(folder / f"{name}.json"), parity=False)
        ours = merge(preset(name), parity=False)
        assert ours[0].setting == theirs[0].setting
        if len(ours) > 1:
            assert ours[1].setting == theirs[1].setting


def test_unknown_and_refused_presets_are_said() -> None:
    """A misspelt name gets the nearest one; other datatypes are named."""
    with pytest.raises(InputError, match="did you mean 'int_config'"):
        preset("int_confg")
    for name, what in REFUSED.items():
        with pytest.raises(InputError, match=what.split(maxsplit=1)[0]):
            preset(name)


def test_an_entry_of_the_recipe_is_checked_by_its_model() -> None:
    """The model that core checks entries with takes what the conversion writes."""
    tables = recipe_tables(preset("pytorch_quantize_config"))
    for values in tables["quantize"]["layers"].values():
        LayerOptions.model_validate(values)
    assert LayerOptions().quantizable_data_type == KINDS
