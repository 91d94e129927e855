"""Files as people write them: damaged, misspelt, wrongly typed."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nibblefit.errors import InputError
from nibblefit_vitis.configuration.json_text import parse_object
from nibblefit_vitis.configuration.keys import ACCEPTED, MEANING
from nibblefit_vitis.configuration.read import parse_configuration, read_configuration
from nibblefit_vitis.configuration.schema import (
    Configuration,
    LayerEntry,
    QuantizeBlock,
    TensorBlocks,
)


def refusal(tmp_path: Path, text: str, *, parity: bool = False) -> str:
    """Return what is said about a file that is refused."""
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_configuration(path, parity=parity)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "config.json:1: not readable as JSON"),
        ('{"include_cle": true,\n}', "config.json:2: not readable as JSON"),
        ("[1]", "config.json:1: not a JSON object"),
        ('{"target_device": "DPU",\n"include_cle": 1e999999999}', "include_cle = inf; accepted is"),
        ('{"onnx_opset_version": NaN}', "NaN is no JSON number"),
        ('{"a": ' + "[" * 200 + "]" * 200 + "}", "more than 100 levels"),
        ("[" * 100_000, "not readable as JSON"),
        ('{"include_cle": true,\n\n"include_cle": false}', ("config.json:3: 'include_cle' is given "
         "twice, first in line 1")),
        ('{"includecle": true}', "config.json:1: unknown key 'includecle' at the top level"),
        ('{\n"target_device": "dpu"}', ('config.json:2: target_device = "dpu"; accepted is DPU, '
         "CPU, GPU, FLEXML")),
        ('{\n"include_cle": "yes"}', ('config.json:2: include_cle = "yes"; accepted is true or '
         "false")),
        ('{"overall_quantize_config": {\n"bit_width": 8.5}}', ("config.json:2: overall_quantize_"
         "config.bit_width = 8.5; accepted is a whole number")),
        ('{"overall_quantize_config": {\n"bit_width": true}}', "config.json:2"),
        ('{"overall_quantize_config": {"bit_width": 33}}', "bit_width = 33"),
        ('{"overall_quantize_config": {"percentage": 0}}', ("percentage = 0; accepted is a number "
         "above 0, at most 100")),
        ('{"overall_quantize_config": {"percentage": true}}', "percentage = true"),
        ('{"overall_quantize_config": 3}', "overall_quantize_config = 3; accepted is an object"),
        ('{"tensor_quantize_config": {"weight": {}}}', ("unknown key 'weight' in tensor_quantize_"
         "config")),
        ('{"tensor_quantize_config": {"bias": {"signd": true}}}', ("unknown key 'signd' in "
         "tensor_quantize_config.bias")),
        ('{"layer_quantize_config": {}}', "layer_quantize_config = {}; accepted is a list"),
        ('{"layer_quantize_config": [\n{}]}', ("config.json:2: layer_quantize_config[0]."
         "quantizable_data_type is missing")),
        ('{"layer_quantize_config": [{"quantizable_data_type": [], "layer": 1}]}',
         "unknown key 'layer' in layer_quantize_config[0]"),
        ('{"quantizable_data_type": ["input"]}', "leaves out weights, bias, activation"),
        ('{"onnx_opset_version": 12}', "onnx_opset_version = 12; accepted is -1"),
        ('{"onnx_opset_version": 999}', "onnx_opset_version = 999; accepted is -1"),
        ('{"target_device": "GPU", "change_pool_input_fix": true}',
         "change_pool_input_fix means nothing for GPU"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    """Damage, unknown keys and wrong types each end in one line, status 2."""
    assert message in refusal(tmp_path, text)


def test_all_problems_are_listed_at_once_and_in_parity_the_first(tmp_path: Path) -> None:
    """The default mode lists every problem in the file's order; parity stops like the original."""
    text = json.dumps({
        "include_cle": "on",
        "target_device": "DPU",
        "overall_quantize_config": {"bit_width": 0, "methd": "diffs", "method": "best"},
    }, indent=1)  # fmt: skip
    every = refusal(tmp_path, text)
    assert "has 4 problems" in every
    assert [int(part.split(":")[0]) for part in every.split("config.json:")[1:]] == [2, 5, 6, 7]
    first = refusal(tmp_path, text, parity=True)
    assert "unknown key 'methd'" in first
    assert "problems" not in first


def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    """No file, a folder, and bytes that are no text."""
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_configuration(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_configuration(tmp_path)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match="no text in UTF-8"):
        read_configuration(tmp_path / "bytes.json")
    (tmp_path / "marked.json").write_bytes(b'\xef\xbb\xbf{"target_device": "DPU"}')
    read_configuration(tmp_path / "marked.json")


def test_the_spelling_of_blog_posts_is_accepted() -> None:
    """power_of_two means poweroftwo, which is what is written again; parity refuses it."""
    document = {"target_device": "DPU", "overall_quantize_config": {"scale_type": "power_of_two",
                "round_mode": "std_round"}, "tensor_quantize_config": {
                "activation": {"round_mode": "half_up"}}}  # fmt: skip
    found = parse_configuration(document).written()
    assert found["overall_quantize_config"]["scale_type"] == "poweroftwo"
    with pytest.raises(InputError, match="the original accepts poweroftwo, float"):
        parse_configuration(document, parity=True)


def test_parity_drops_what_the_original_drops() -> None:
    """Wrong booleans, a short list of kinds and parameters' statistics are notes, not errors."""
    document: dict[str, Any] = {
        "target_device": "DPU",
        "include_cle": 1,
        "keep_add_layer_accuracy": True,
        "quantizable_data_type": ["weights"],
        "tensor_quantize_config": {"bias": {"calib_statistic_method": "max", "method": ""}},
    }
    found = parse_configuration(document, parity=True)
    notes = "\n".join(found.notes)
    for text in ("include_cle = 1 is ignored", "keep_add_layer_accuracy does nothing",
                 "quantizable_data_type at the top level", "bias.calib_statistic_method is ignored",
                 'bias.method = "" is ignored'):  # fmt: skip
        assert text in notes
    assert document["include_cle"] == 1
    with pytest.raises(InputError, match="has 4 problems"):
        parse_configuration(document)


def test_parity_needs_a_device_and_the_default_mode_says_which_it_took() -> None:
    """The original stops at a file without target_device."""
    with pytest.raises(InputError, match="target_device is missing"):
        parse_configuration({}, parity=True)
    assert "DPU is taken" in parse_configuration({}).notes[0]


def test_entries_that_cannot_mean_anything_are_refused() -> None:
    """Neither type nor name, both, no kinds, and blocks for kinds that are left out."""
    entries: list[dict[str, Any]] = [
        {"quantizable_data_type": ["bias"]},
        {"quantizable_data_type": ["bias"], "layer_type": "Conv2d", "layer_name": "a"},
        {"quantizable_data_type": [], "layer_type": "Conv2d"},
        {"quantizable_data_type": ["bias"], "layer_type": "Linear",
         "tensor_quantize_config": {"weights": {"bit_width": 4}}},
        {"quantizable_data_type": ["bias"], "layer_type": "ReLU",
         "tensor_quantize_config": {"bias": {"calib_statistic_method": "max"}}},
    ]  # fmt: skip
    for entry, words in zip(entries, ("names neither", "names layer_type and layer_name",
                                      "is empty", "is not read", "means nothing")):  # fmt: skip
        document = {"target_device": "CPU", "layer_quantize_config": [entry]}
        with pytest.raises(InputError, match=words):
            parse_configuration(document)
        parse_configuration(document, parity=True)


def test_what_does_nothing_is_said() -> None:
    """Replaced entries, unused percentages and signs, and widths that no compiler takes."""
    entry = {"layer_type": "Conv2d", "quantizable_data_type": ["weights"]}
    found = parse_configuration({
        "target_device": "DPU",
        "tensor_quantize_config": {"weights": {"bit_width": 4, "percentage": 99}},
        "layer_quantize_config": [entry, {**entry, "layer_type": "torch.nn.Conv2d"}],
    })  # fmt: skip
    notes = "\n".join(found.notes)
    assert "is replaced by entry 1" in notes
    assert "bit_width of weights is not 8" in notes
    assert "percentage of weights is used by method percentile only" in notes
    asymmetric = {"target_device": "CPU", "overall_quantize_config": {
        "symmetry": False, "method": "maxmin", "scale_type": "float"}}  # fmt: skip
    assert "signed = true means nothing" in "\n".join(parse_configuration(asymmetric).notes)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
keys = st.sampled_from([*ACCEPTED, "x"])
blocks = st.dictionaries(keys, json_values | st.dictionaries(keys, json_values, max_size=3),
                         max_size=4)  # fmt: skip
anything = st.dictionaries(keys, json_values | blocks | st.lists(blocks, max_size=2), max_size=5)


@given(document=anything, parity=st.booleans())
def test_no_document_ends_in_anything_but_a_refusal(document: dict[str, Any], parity: bool) -> None:
    """Whatever values stand under whatever keys: accepted, or an explained error."""
    with suppress(InputError):
        parse_configuration(document, parity=parity)


@given(value=json_values, indent=st.sampled_from([None, 1]))
def test_every_key_has_its_line(value: Any, indent: int | None) -> None:
    """Keys and list entries are found in the line that starts them."""
    assume(_is_finite(value))
    text = json.dumps({"first": value, "last": 1}, indent=indent)
    lines = parse_object(text, "file")[1]
    rows = text.splitlines()
    assert all(json.dumps(path[-1]) in rows[line - 1] for path, line in lines.items()
               if isinstance(path[-1], str))  # fmt: skip
    assert lines["last",] == len(rows) - (1 if len(rows) > 1 else 0)


def _is_finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def test_every_key_of_the_schema_is_explained() -> None:
    """What a key accepts and means is written for each, as messages and the manual need it."""
    for model in (Configuration, LayerEntry, QuantizeBlock):
        assert set(model.model_fields) <= set(ACCEPTED) & set(MEANING)
    assert set(TensorBlocks.model_fields) <= set(ACCEPTED)
