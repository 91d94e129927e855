"""Options of ONNX Runtime's TIDL provider: keys, ranges, combinations, devices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nibblefit.errors import InputError
from nibblefit_tidl.configuration.provider import (
    ProviderOptions,
    folder_problems,
    options_text,
    parse_options,
    read_options_file,
)
from nibblefit_tidl.configuration.provider_rules import provider_advice
from nibblefit_tidl.devices import AM62A, AM67A, AM69A, DEVICES, TDA4VM, Device

A = "advanced_options:"


def test_flat_and_nested_options_are_the_same() -> None:
    """Both spellings, and numbers as texts, give one result."""
    flat = parse_options({"tensor_bits": "16", f"{A}calibration_frames": "12"})
    nested = parse_options({"tensor_bits": 16, "advanced_options": {"calibration_frames": 12}})
    assert flat == nested
    assert flat.flat() == {"tensor_bits": 16, f"{A}calibration_frames": 12}
    assert parse_options(json.loads(options_text(flat))) == flat


def test_every_option_survives_its_file(tmp_path: Path) -> None:
    """All keys of the model at their defaults are read again, alone."""
    fields = ProviderOptions.model_fields.values()
    for field in fields:
        values = {str(field.alias): field.default}
        level = {"accuracy_level": 9} if "clipping" in str(field.alias) else {}
        single = {"bias_calibration", "channel_wise_quantization"}
        if str(field.alias).removeprefix(A) in single:
            level = {"accuracy_level": 9}
        options = parse_options({**level, **values})
        path = tmp_path / "options.json"
        path.write_text(options_text(options))
        assert read_options_file(path) == options


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tensor_bit": 8}, "did you mean 'tensor_bits'?"),
        ({"calibration_frames": 8}, f"did you mean '{A}calibration_frames'?"),
        ({f"{A}tensor_bits": 8}, "did you mean 'tensor_bits'?"),
        ({"c7x_codegen": 0}, "belongs to TVM"),
        ({"tensor_bits": 12}, "one of 8, 16, 32"),
        ({"accuracy_level": 3}, "one of 0, 1, 2, 9"),
        ({"debug_level": 7}, "0 to 6"),
        ({"max_num_subgraphs": 17}, "1 to 16"),
        ({f"{A}quantization_scale_type": 2}, "one of 0, 1, 3, 4"),
        ({f"{A}calibration_iterations": 0}, "at least 1, or -1"),
        ({f"{A}calibration_frames": "many"}, "integer"),
        ({f"{A}num_cores": 2, "advanced_options": {"num_cores": 2}}, "flat and nested"),
        ({"deny_list": "Conv", "allow_list:layer_name": "a"}, "exclude each other"),
        ({"deny_list:layer_type": "Conv", "allow_list:layer_name": "a"}, "exclude each other"),
        ({"deny_list:layer_name": "a,,b"}, "empty name"),
        ({f"{A}activation_clipping": 0}, "has no effect with accuracy_level 1"),
        ({"accuracy_level": 9, f"{A}channel_wise_quantization": 1,
          f"{A}quantization_scale_type": 4}, "everywhere"),
        ({f"{A}quantization_scale_type": 3, f"{A}add_data_convert_ops": 3}, "integers at both"),
        ({f"{A}quant_params_proto_path": "p", f"{A}quantization_scale_type": 4}, "symmetric"),
        ({f"{A}prequantized_model": 1, f"{A}quantization_scale_type": 4}, "would calibrate"),
        ({f"{A}prequantized_model": 1, "accuracy_level": 0}, "needs the scale type"),
        ({f"{A}prequantized_model": 1, "accuracy_level": 0, "tensor_bits": 16,
          f"{A}quantization_scale_type": 1}, "has 8 bits"),
        ({f"{A}mixed_precision_factor": 1.0}, "allows nothing"),
        ({f"{A}params_16bit_names_list": "a", "tensor_bits": 16}, "no layer has 8 bits"),
        ({f"{A}mixed_precision_factor": 1.2, f"{A}high_resolution_optimization": 1}, "exclude"),
        ({"model_type": "SSD"}, "use OD"),
        ({"object_detection:meta_arch_type": 3}, "belong together"),
        ({f"{A}custom_layers_names_list": "a"}, "enable_custom_layers is 0"),
        ({f"{A}inference_mode": 2}, "spreads one frame"),
        ({f"{A}num_cores": 2}, "exactly one core"),
    ],
)  # fmt: skip
def test_conflicts_and_slips_are_refused(values: dict[str, Any], words: str) -> None:
    """Each mistake has its reason and the closest match."""
    with pytest.raises(InputError) as caught:
        parse_options(values)
    assert words in str(caught.value)


@pytest.mark.parametrize("device", DEVICES.values(), ids=lambda device: device.name)
@pytest.mark.parametrize("scale_type", [0, 1, 3, 4])
def test_scale_types_follow_the_device(device: Device, scale_type: int) -> None:
    """Zero points exist on the second matrix accelerator alone."""
    values = {f"{A}quantization_scale_type": scale_type}
    if scale_type in (0, 1) or device.mma == 2:
        assert parse_options(values, device).quantization_scale_type == scale_type
    else:
        with pytest.raises(InputError, match=f"{device.name} \\(version 1\\) lacks"):
            parse_options(values, device)


def test_cores_and_channels_follow_the_device() -> None:
    """Core numbers, cores in use and scales per channel are checked for the device."""
    cores = {f"{A}inference_mode": 1, f"{A}num_cores": 4, "core_number": 3}
    assert parse_options(cores, AM69A).core_number == 3
    with pytest.raises(InputError, match="core_number is 3, and am67a has 2 cores"):
        parse_options(cores, AM67A)
    with pytest.raises(InputError, match="core_start_idx is 2, and am62a has 1 core"):
        parse_options({"core_start_idx": 2}, AM62A)
    channels = {"accuracy_level": 9, f"{A}channel_wise_quantization": 1}
    assert parse_options(channels, AM62A)
    with pytest.raises(InputError, match="one weight scale per channel, which"):
        parse_options(channels, TDA4VM)


def test_advice_is_given_where_accuracy_or_the_board_is_at_stake() -> None:
    """Few frames, float emulation and doubled names are legal and worth a word."""
    few = provider_advice(parse_options({f"{A}calibration_frames": 2}))
    assert "calibration frames are few" in few[0].message
    host = provider_advice(parse_options({"tensor_bits": 32, f"{A}calibration_frames": 2}))
    assert ["host" in one.message for one in host] == [True]
    twice = provider_advice(parse_options({f"{A}params_16bit_names_list": "728, 728"}))
    assert "728 more than once" in twice[0].message
    assert not provider_advice(parse_options({"accuracy_level": 0, f"{A}calibration_frames": 2}))


def test_a_file_names_its_lines(tmp_path: Path) -> None:
    """Unknown, doubled and conflicting options are found at their lines."""
    path = tmp_path / "options.json"
    path.write_text('{\n "tensor_bits": 8,\n "advanced_options": {\n  "num_core": 1\n }\n}\n')
    with pytest.raises(
        InputError, match=r"options.json:4: .*did you mean 'advanced_options:num_co"
    ):
        read_options_file(path)
    path.write_text('{"tensor_bits": 8,\n "tensor_bits": 16}')
    with pytest.raises(InputError, match="given twice"):
        read_options_file(path)
    path.write_text('{\n "tensor_bits": 8,\n')
    with pytest.raises(InputError, match=r"options.json:\d+: not readable as JSON"):
        read_options_file(path)
    path.write_text("[1]")
    with pytest.raises(InputError, match="not a JSON object"):
        read_options_file(path)


def test_the_artifacts_folder_is_checked(tmp_path: Path) -> None:
    """Compiling needs an empty folder, running one that was compiled into."""
    assert "does not exist" in folder_problems(tmp_path / "none", compiling=True)[0].message
    assert not folder_problems(tmp_path, compiling=True)
    assert "allowedNode.txt" in folder_problems(tmp_path, compiling=False)[0].message
    (tmp_path / "allowedNode.txt").touch()
    assert not folder_problems(tmp_path, compiling=False)
    assert "not empty" in folder_problems(tmp_path, compiling=True)[0].message


def test_conflicting_options_are_not_written() -> None:
    """Writing checks for the device, too."""
    options = parse_options({f"{A}quantization_scale_type": 4})
    with pytest.raises(InputError, match="tda4vm"):
        options_text(options, TDA4VM)
