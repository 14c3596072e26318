"""torchreid's standard config: the tree, the flags, and which keyword each key becomes.

torchreid's GitHub repository keeps this in its scripts; its package from PyPI has none of it. Keys,
defaults and flags are torchreid's, so that config files work in both.
"""

from __future__ import annotations

import copy
from typing import Any

from yacs.config import CfgNode

from torchreid_adv import config

DEFAULTS: dict[str, Any] = {
    "model": {"name": "resnet50", "pretrained": True, "load_weights": "", "resume": ""},
    "data": {
        "type": "image",  # or "video"
        "root": "reid-data",
        "sources": ["market1501"],
        "targets": ["market1501"],
        "workers": 4,
        "split_id": 0,
        "height": 256,
        "width": 128,
        "combineall": False,  # train on query and gallery, too
        "transforms": ["random_flip"],
        "k_tfm": 1,  # augmented copies of each image
        "norm_mean": [0.485, 0.456, 0.406],
        "norm_std": [0.229, 0.224, 0.225],
        "save_dir": "log",
        "load_train_targets": False,
    },
    "market1501": {"use_500k_distractors": False},
    "cuhk03": {"labeled_images": False, "classic_split": False, "use_metric_cuhk03": False},
    "sampler": {
        "train_sampler": "RandomSampler",
        "train_sampler_t": "RandomSampler",
        "num_instances": 4,  # images per identity in a batch
        "num_cams": 1,  # cameras in a batch
        "num_datasets": 1,  # data sets in a batch
    },
    "video": {"seq_len": 15, "sample_method": "evenly", "pooling_method": "avg"},
    "train": {
        "optim": "adam",
        "lr": 0.0003,
        "weight_decay": 5e-4,
        "max_epoch": 60,
        "start_epoch": 0,
        "batch_size": 32,
        "fixbase_epoch": 0,  # epochs in which only open_layers are trained
        "open_layers": ["classifier"],
        "staged_lr": False,  # base layers get lr * base_lr_mult, new_layers get lr
        "new_layers": ["classifier"],
        "base_lr_mult": 0.1,
        "lr_scheduler": "single_step",
        "stepsize": [20],
        "gamma": 0.1,
        "print_freq": 20,
        "seed": 1,
    },
    "sgd": {"momentum": 0.9, "dampening": 0.0, "nesterov": False},
    "rmsprop": {"alpha": 0.99},
    "adam": {"beta1": 0.9, "beta2": 0.999},
    "loss": {
        "name": "softmax",  # or "triplet"
        "softmax": {"label_smooth": True},
        "triplet": {"margin": 0.3, "weight_t": 1.0, "weight_x": 0.0},
    },
    "test": {
        "batch_size": 100,
        "dist_metric": "euclidean",
        "normalize_feature": False,
        "ranks": [1, 5, 10, 20],
        "evaluate": False,  # no training
        "eval_freq": -1,  # epochs between evaluations; -1 = at the end only
        "start_eval": 0,
        "rerank": False,
        "visrank": False,  # pictures of ranking lists; needs evaluate
        "visrank_topk": 10,
    },
}


def _under(section: str, *names: str) -> dict[str, str]:
    """Return the keywords that are called as their keys are."""
    return {name: f"{section}.{name}" for name in names}


# keyword of torchreid -> dotted key
_DATA = {
    **_under("data", "root", "sources", "targets", "height", "width", "transforms", "workers"),
    **_under("data", "norm_mean", "norm_std", "split_id", "combineall"),
    **_under("sampler", "train_sampler", "num_instances", "num_cams", "num_datasets"),
    "use_gpu": "use_gpu",
    "batch_size_train": "train.batch_size",
    "batch_size_test": "test.batch_size",
}
IMAGE_DATA = {
    **_DATA,
    **_under("data", "k_tfm", "load_train_targets"),
    "train_sampler_t": "sampler.train_sampler_t",
    "cuhk03_labeled": "cuhk03.labeled_images",
    "cuhk03_classic_split": "cuhk03.classic_split",
    "market1501_500k": "market1501.use_500k_distractors",
}
VIDEO_DATA = {**_DATA, **_under("video", "seq_len", "sample_method")}
OPTIMIZER = {
    **_under("train", "optim", "lr", "weight_decay", "staged_lr", "new_layers", "base_lr_mult"),
    "momentum": "sgd.momentum",
    "sgd_dampening": "sgd.dampening",
    "sgd_nesterov": "sgd.nesterov",
    "rmsprop_alpha": "rmsprop.alpha",
    "adam_beta1": "adam.beta1",
    "adam_beta2": "adam.beta2",
}
SCHEDULER = _under("train", "lr_scheduler", "stepsize", "gamma", "max_epoch")
SOFTMAX = {"use_gpu": "use_gpu", "label_smooth": "loss.softmax.label_smooth"}
TRIPLET = {**SOFTMAX, **_under("loss.triplet", "margin", "weight_t", "weight_x")}
RUN = {
    "save_dir": "data.save_dir",
    **_under("train", "max_epoch", "start_epoch", "print_freq", "fixbase_epoch", "open_layers"),
    **_under("test", "start_eval", "eval_freq", "dist_metric", "normalize_feature", "ranks"),
    **_under("test", "visrank", "visrank_topk", "rerank"),
    "test_only": "test.evaluate",
    "use_metric_cuhk03": "cuhk03.use_metric_cuhk03",
}


def gpu_is_there() -> bool:
    """Tell whether PyTorch finds a GPU."""
    import torch  # takes seconds

    return torch.cuda.is_available()


def default_config(*, use_gpu: bool | None = None) -> config.AdvConfig:
    """Return torchreid's standard config tree with ``adv.*`` in it, remembered as current.

    Args:
        use_gpu: value of the key of that name; None = whether this machine has one.
    """
    cfg = CfgNode(copy.deepcopy(DEFAULTS))
    cfg.use_gpu = gpu_is_there() if use_gpu is None else use_gpu
    return config.add_adv_config(cfg)


def keywords(cfg: CfgNode, table: dict[str, str]) -> dict[str, Any]:
    """Return the keywords of a table (``IMAGE_DATA``, ``RUN``...) with their values in a config."""
    return {keyword: config.lookup(cfg, key) for keyword, key in table.items()}
