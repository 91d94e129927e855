"""Fields of the YAML specs of TAO's classification (TensorFlow 2).

Source: the configuration classes of tao_tensorflow2_backend, ``cv/classification/config``.
"""

from __future__ import annotations

from collections.abc import Mapping

_MLOPS = ("wandb", "clearml")
#: Block → its fields; blocks inside blocks stand under their dotted names.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "dataset": (
        "train_dataset_path", "val_dataset_path", "preprocess_mode", "image_mean", "num_classes",
        "augmentation",
    ),
    "dataset.augmentation": (
        "enable_random_crop", "enable_center_crop", "enable_color_augmentation",
        "disable_horizontal_flip", "mixup_alpha",
    ),
    "train": (
        "qat", "pretrained_model_path", "checkpoint", "checkpoint_interval", "batch_size_per_gpu",
        "num_epochs", "n_workers", "random_seed", "label_smoothing", "reg_config", "bn_config",
        "lr_config", "optim_config", "results_dir", "num_gpus", "gpu_ids", "num_nodes", *_MLOPS,
    ),
    "train.optim_config": (
        "optimizer", "lr", "decay", "epsilon", "rho", "beta_1", "beta_2", "momentum", "nesterov",
    ),
    "train.lr_config": (
        "scheduler", "learning_rate", "soft_start", "annealing_points", "annealing_divider",
        "min_lr_ratio", "gamma", "step_size",
    ),
    "train.reg_config": ("type", "scope", "weight_decay"),
    "train.bn_config": ("momentum", "epsilon"),
    "model": (
        "backbone", "input_width", "input_height", "input_channels", "input_image_depth",
        "num_classes", "use_batch_norm", "use_bias", "use_pooling", "all_projections", "freeze_bn",
        "freeze_blocks", "retain_head", "dropout", "resize_interpolation_method",
        "activation_type", "byom_model",
    ),
    "prune": (
        "checkpoint", "model_path", "byom_model_path", "normalizer", "output_path",
        "equalization_criterion", "granularity", "threshold", "min_num_filters", "excluded_layers",
        "results_dir",
    ),
}  # fmt: skip
#: Blocks of other stages: a run's own stages, or files, take their place.
STAGES: Mapping[str, str] = {
    "evaluate": "but for batch_size: a run evaluates by [evaluate]",
    "inference": "a run draws what it finds in its report",
    "export": "step compile writes the ONNX files",
    "gen_trt_engine": "step compile writes the command lines for TensorRT",
    "results_dir": "a run has a folder of its own, named after the recipe",
    "encryption_key": "nothing is encrypted",
    **dict.fromkeys(("num_gpus", "gpus", "num_nodes", "verbose", "wandb", "clearml", "data_format"),
                    "it says how TAO runs, not what it trains"),
}  # fmt: skip
