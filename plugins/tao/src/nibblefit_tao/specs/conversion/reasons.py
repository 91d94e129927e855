"""Why a field of a spec is ignored, and which values say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_RUNNING = "it says how TAO runs, not what it trains"
_AUGMENTATION = "this augmentation is not built in"
_NETWORK = "the network is as its factory builds it"
_OVERLAP = "detections are judged at an overlap of 0.5"
_WEIGHTS = "weights of Keras are not read; give them as safetensors in model.weights"
_SPLIT = "pictures are split by data.validation and data.test"
_ALL_SIZES = "boxes of all sizes are trained and judged"

#: Name of a field, or of a block around it → why it is ignored.
_REASONS: Mapping[str, str] = {
    **dict.fromkeys(
        ("visualizer", "n_workers", "max_queue_size", "use_multiprocessing", "verbose", "enc_key",
         "infer_nms_score_bits", "force_on_cpu", "visualize_pr_curve", "wandb", "clearml",
         "model_parallelism", "dataloader_mode"), _RUNNING,
    ),
    **dict.fromkeys(
        ("validation_period_during_training", "first_validation_epoch"),
        "every epoch is validated",
    ),
    **dict.fromkeys(
        ("random_crop_min_scale", "random_crop_max_scale", "random_crop_min_ar",
         "random_crop_max_ar", "zoom_out_min_scale", "zoom_out_max_scale", "spatial_augmentation",
         "color_augmentation", "enable_random_crop", "enable_center_crop",
         "enable_color_augmentation", "mixup_alpha"), _AUGMENTATION,
    ),
    **dict.fromkeys(
        ("retain_head", "dropout", "dropout_rate", "use_bias", "use_pooling", "all_projections",
         "use_batch_norm", "activation", "batch_norm_config", "pred_num_channels",
         "training_precision", "byom_model", "freeze_blocks", "bn_config", "activation_type"),
        _NETWORK,
    ),
    **dict.fromkeys(
        ("resume_model_path", "pretrain_model_path", "pruned_model_path", "pretrained_model_path",
         "pretrained_model_file", "load_graph", "freeze_pretrained_layers",
         "allow_loaded_model_modification", "model_path", "checkpoint"), _WEIGHTS,
    ),
    **dict.fromkeys(
        ("matching_iou_threshold", "minimum_detection_ground_truth_overlap"), _OVERLAP
    ),
    **dict.fromkeys(("validation_fold", "sampling_mode", "validation_data_source"), _SPLIT),
    **dict.fromkeys(("min_bbox_width", "min_bbox_height", "evaluation_box_config"), _ALL_SIZES),
    "freeze_bn": "batch norm goes on following the data",
    "cost_scaling": "training computes in float32",
    "image_extension": "pictures of every kind are read",
    "resize_interpolation_method": "pictures are resized bilinearly",
    "top_k": "the first guess alone is judged",
    "model_ema": "weights are not averaged over time",
    "min_delta": "every improvement counts",
    "optimizer": "momentum of SGD alone is a setting here",
    "nesterov": "momentum is the ordinary one",
    "decay": "the schedule alone changes the rate",
    "mean_color": "image_mean says what is subtracted",
    "loss_mask_label_filter": "no box is masked in the loss",
    "dataset_export_config": "KITTI labels are read as they are",
    "preprocessing": "pictures are resized, not cropped",
}  # fmt: skip
_OTHER = "nothing in a recipe stands for it"
#: Values with which a field changes nothing; so does zero, which is proto3's "unset".
_NEUTRAL: Mapping[str, Any] = {
    "zoom_min": 1.0, "zoom_max": 1.0, "zoom_out_min_scale": 1.0, "zoom_out_max_scale": 1.0,
    "random_crop_min_scale": 1.0, "random_crop_max_scale": 1.0, "matching_iou_threshold": 0.5,
    "use_batch_norm": True, "source_weight": 1.0,
}  # fmt: skip


def reason(path: str) -> str:
    """Return why the field at a dotted path is ignored."""
    parts = path.split(".")
    return next((_REASONS[part] for part in reversed(parts) if part in _REASONS), _OTHER)


def says_nothing(path: str, value: Any) -> bool:
    """Return whether ignoring this value of a field loses nothing."""
    name = path.rpartition(".")[2]
    return not value or (name in _NEUTRAL and value == _NEUTRAL[name])
