"""torchreid's standard config: the tree, the flags, and which keyword each key becomes.

torchreid's GitHub repository keeps this in its scripts; its package from PyPI has none of it. Keys,
defaults and flags are torchreid's, so that config files work in both.
"""

from __future__ import annotations

import argparse
import copy
import re
from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from yacs.config import CfgNode

from torchreid_adv import config
from torchreid_adv.commands.stock_checks import check, check_names
from torchreid_adv.errors import ConfigError

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


def default_config() -> config.AdvConfig:
    """Return torchreid's standard config tree with ``adv.*`` in it, remembered as current.

    ``use_gpu`` says whether this machine has one.
    """
    cfg = CfgNode(copy.deepcopy(DEFAULTS))
    cfg.use_gpu = torch.cuda.is_available()
    return config.add_adv_config(cfg)


def keywords(cfg: CfgNode, table: dict[str, str]) -> dict[str, Any]:
    """Return the keywords of a table (``IMAGE_DATA``, ``RUN``...) with their values in a config."""
    return {keyword: config.lookup(cfg, key) for keyword, key in table.items()}


class Parser(argparse.ArgumentParser):
    """A parser whose errors say how config keys are written."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and a sentence: a flag that does not exist may be meant as a key."""
        flag = re.search(r"unrecognized arguments: .*?(--?[\w-]+)", message)
        if flag:
            message = _not_a_flag(flag[1])
        self.exit(ConfigError.exit_code, f"error: {message} ({self.prog} --help lists the flags)\n")


def _not_a_flag(flag: str) -> str:
    """Return what to write for a flag that does not exist."""
    name = flag.strip("-").replace("-", "_").lower()
    keys = [key for key, _ in config.leaves(config.add_adv_config(default_config()))]
    keys = sorted((key for key in keys if key.rpartition(".")[2] == name), key=_nearness)
    if not keys:
        return (
            f"there is no flag {flag}; config keys are written without dashes, as pairs KEY VALUE, "
            "after the flags, and torchreid-adv list --keys lists ours"
        )
    others = f", or one of {', '.join(keys[1:])}" if keys[1:] else ""
    return f"there is no flag {flag}; after all flags write the config key: {keys[0]} VALUE{others}"


def _nearness(key: str) -> tuple[bool, int, str]:
    return not key.startswith("adv.attack."), key.count("."), key


def make_parser(prog: str, description: str = "") -> argparse.ArgumentParser:
    """Return a parser of torchreid's flags, then ``KEY VALUE`` pairs."""
    parser = Parser(prog=prog, description=description, allow_abbrev=False)
    parser.add_argument("--config-file", default="", metavar="YAML", help="config file")
    parser.add_argument("-s", "--sources", nargs="+", metavar="NAME", help="training data sets")
    parser.add_argument("-t", "--targets", nargs="+", metavar="NAME", help="test data sets")
    parser.add_argument("--transforms", nargs="+", metavar="NAME", help="training transforms")
    parser.add_argument("--root", default="", help="folder that holds the data sets")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the config as it would be used, and stop"
    )
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="config keys and their values"
    )
    return parser


def print_config(cfg: config.AdvConfig) -> int:
    """Check a config and print it, gray levels also in [0, 1]; return the exit code 0.

    Raises:
        ConfigError: an unknown name or a wrong value.
    """
    config.setup(cfg)
    check_names(cfg)
    print(*config.resolved_lines(cfg), sep="\n")
    return 0


def merged_config(arguments: argparse.Namespace) -> config.AdvConfig:
    """Return the standard config with a config file, flags and pairs merged in, in that order.

    Raises:
        ConfigError: an unknown key or a wrong value.
    """
    cfg = default_config()
    if arguments.config_file:
        cfg.merge_from_file(arguments.config_file)
    words = list(arguments.opts)
    flags: list[str] = []
    for name in ("root", "sources", "targets", "transforms"):
        value = getattr(arguments, name)
        if isinstance(value, list):
            value, swallowed = _names(cfg, value)
            words = swallowed + words
        if value:
            flags += [f"data.{name}", value]
    cfg.merge_from_list(flags)
    cfg.merge_from_list(pairs_of(words))
    check(cfg)
    return cfg


def pairs_of(words: Sequence[str]) -> list[str]:
    """Return ``[key, value, key, value...]`` of what follows the flags.

    Args:
        words: keys and their values by turns, or both in one word, ``key=value``.

    Raises:
        ConfigError: a flag among them, or a key without a value.
    """
    pairs: list[str] = []
    rest = list(words)
    while rest:
        key, assigned, value = rest.pop(0).partition("=")
        if key.startswith("-"):
            raise ConfigError(_late(key, pairs))
        if not assigned:
            if not rest:
                raise ConfigError(f"config options come in pairs 'KEY VALUE'; '{key}' has no value")
            value = rest.pop(0)
        pairs += [key, value]
    return pairs


def _late(flag: str, pairs: Sequence[str]) -> str:
    known = make_parser("")._option_string_actions
    if flag in known and pairs:
        return f"flags come before the first key: move '{flag}' before '{pairs[0]}'"
    return _not_a_flag(flag)


def _names(cfg: config.AdvConfig, values: list[str]) -> tuple[list[str], list[str]]:
    """Split what a flag of many values took into names and the pairs that came after them."""
    end = 0
    while end < len(values) and not _is_key(cfg, values[end]):
        end += 1
    return values[:end], values[end:]


def _is_key(cfg: config.AdvConfig, word: str) -> bool:
    """Tell a key from the name of a data set, after which torchreid has a section, too."""
    return "." in word or "=" in word or (word in cfg and not isinstance(cfg[word], CfgNode))
