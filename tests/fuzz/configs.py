"""Wrong configs: 300 of them, each with what its error has to name."""

import os
from dataclasses import dataclass

import numpy as np
import torch
import yaml

from torchreid_adv.config.torchreid_keys import default_config


@dataclass
class Case:
    kind: str
    names: str  # what the error must name
    content: bytes | str = ""  # of the config file
    suffix: str = ".yaml"
    pairs: tuple = ()
    special: str = ""  # "folder", "missing", "pipe", "device", "loop"

    def arguments(self, folder):
        """Write the file and return the command line."""
        path = folder / f"config{self.suffix}"
        if self.special == "folder":
            path.mkdir()
        elif self.special == "pipe":
            os.mkfifo(path)
        elif self.special == "device":
            path.symlink_to("/dev/zero")
        elif self.special == "loop":
            path.symlink_to(path.name)
        elif self.special != "missing":
            content = self.content
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        flags = [] if self.pairs else ["--config-file", str(path)]
        return [*flags, "--dry-run", *self.pairs]


def tree_of(key, value):
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def leaves(node, path=""):
    for name, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def setting(kind, key, value, names=""):
    return Case(kind, names or key, yaml.safe_dump(tree_of(key, value)))


def misspelled(generator, name):
    at = int(generator.integers(len(name)))
    how = int(generator.integers(3))
    if how == 0:
        return name[:at] + name[at + 1 :] + "_"
    if how == 1:
        return name[: at + 1] + name[at:] + "x"
    return name[:at] + "q" + name[at + 1 :] + "z"


def unknown_keys(generator, keys):
    for number in range(45):
        key = keys[int(generator.integers(len(keys)))]
        parts = key.split(".")
        place = len(parts) - 1 if number % 3 else int(generator.integers(len(parts)))
        parts[place] = misspelled(generator, parts[place])
        wrong = ".".join(parts[: place + 1])
        yield setting("unknown key", ".".join(parts), 1, f"unknown config key '{wrong}'")


def wrong_types(generator, tree):
    options = {
        bool: (1, "yes please", [True], 0.0, None),
        int: ("many", 2.5, [3], True, None, "1e3"),
        float: ("a lot", [1.0], True, None, "8/255", {"a": 1}),
        str: (["a"], {"a": "b"}, [1, 2]),
        list: (3, {"a": 1}, 2.5, True, None),
    }
    typed = [(key, value) for key, value in tree if type(value) in options]
    for number in range(70):
        key, value = typed[(number * 7) % len(typed)]
        values = options[type(value)]
        wrong = values[int(generator.integers(len(values)))]
        yield setting("wrong type", key, wrong)


BAD_VALUES = {
    "data.height": (0, -256, 10**9), "data.width": (0, -1), "data.workers": (-1, 10**6),
    "data.k_tfm": (0,), "data.split_id": (-1,), "data.type": ("images",), "data.save_dir": ("",),
    "data.norm_mean": ([0.5], [0.5, 0.5, "a"], [0.5, 0.5, float("nan")]),
    "data.norm_std": ([0.2, 0.2, 0], [1, 1, float("inf")]), "data.sources": ([3], [["a"]]),
    "sampler.num_instances": (0, -4), "video.seq_len": (0,), "video.sample_method": ("odd",),
    "video.pooling_method": ("sum",), "train.optim": ("adamw", "Adam"), "train.lr": (0, -0.1, 1e9),
    "train.weight_decay": (-1, float("nan")), "train.max_epoch": (0, -60), "train.batch_size": (0,),
    "train.lr_scheduler": ("step",), "train.stepsize": ([], [0], ["a"], [2.5]),
    "train.gamma": (-0.1, 10, float("nan")), "train.seed": (-1, 2**40), "sgd.momentum": (9, -1),
    "adam.beta1": (1, -0.5), "adam.beta2": (1.5,), "loss.name": ("cosface",),
    "loss.triplet.margin": (-1, float("inf")), "test.batch_size": (0, -100),
    "test.ranks": ([], [0]),
    "test.eval_freq": (-2,), "train.print_freq": (0,), "test.visrank_topk": (0,),
    "model.load_weights": ("no/such/file.pth", "a\0b"), "model.resume": ("no/such/file.pth",),
    "adv.attack.eps": (-1, 256, 1e9, float("nan"), float("inf")),
    "adv.attack.steps": (0, -3, 10**9),
    "adv.attack.step_size": (-2, 999), "adv.attack.momentum": (-1, 99, float("nan")),
    "adv.attack.side": ("both", ""), "adv.attack.precision": ("fp16",), "adv.job.chunk": (0, -16),
    "adv.attack.reference": ("same",), "adv.attack.seed": (-1, 2**70),
    "adv.evaluation.ap_rule": ("voc",), "adv.data.max_pixels": (0, 10**12),
    "adv.virtual.height": (8, 9999), "adv.virtual.cameras_per_identity": (1, 7),
    "adv.virtual.images_per_camera": (0, 1), "adv.virtual.train_identities": (0, 10**6),
    "adv.defense.draws": (-1, 10**9), "adv.defense.eot_samples": (-2,),
    "adv.plugins": ([3], [""], [".x"], ["no such module"], ["os.nothing"]),
}  # fmt: skip

BAD_NAMES = {
    "adv.attack.name": ("ifgms", "", "pgd\n", "../ifgsm"), "adv.attack.metric": ("cosin", "l1"),
    "adv.engine": ("metric_atack", "none"), "adv.defense.name": ("jpegg",),
    "test.dist_metric": ("euclidian", "l2"), "model.name": ("osnet_x1", "resnet", ""),
    "data.sources": (["market"], ["market1501", "duke"]), "data.targets": (["../market1501"],),
    "data.transforms": (["random_flop"], ["random_flip", "lgtt"]),
    "sampler.train_sampler": ("RandomSample", "identity"), "adv.transforms.lgtt.p": (0.5,),
    "adv.transforms.lgt.q": (0.5,), "adv.transforms.lgt": (3, [1]),
    "adv.attack.options.roundin": ("ceil",), "adv.attack.options.eps": (3,),
    "adv.attack.options.1": (2,),
}  # fmt: skip

CONFLICTS = (
    ({"test": {"visrank": True}}, "test.visrank"),
    ({"use_gpu": True}, "use_gpu"),
    ({"train": {"batch_size": 2}, "sampler": {"train_sampler": "RandomIdentitySampler"}},
     "num_instances"),
    ({"train": {"fixbase_epoch": 2}, "loss": {"name": "triplet"}}, "fixbase_epoch"),
    ({"adv": {"attack": {"eps": 8, "options": {"eps": 8}}}}, "adv.attack.options.eps"),
    ({"adv": {"attack": {"options": {"distance": "cosine"}, "metric": "euclidean"}}}, "distance"),
    ({"adv": {"attack": {"options": {"seed": 3}}}}, "adv.attack.options.seed"),
    ({"adv": {"attack": {"options": {"targeted": True}}}}, "adv.attack.options.targeted"),
)  # fmt: skip

UNITS = ("8/255", 8 / 255, 0.03, "5 / 255", 0.0196, "8 levels", "0.5", "4/256", "8/255.0", 0.999)

TAGS = (
    "!!python/object/apply:os.system ['touch {marker}']",
    "!!python/object/new:os.system ['touch {marker}']",
    "!!python/object/apply:subprocess.check_output [['touch', '{marker}']]",
    "!!python/object/apply:builtins.open ['{marker}', 'w']",
    "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{marker}']]",
    "!!python/name:os.system ''",
    "!!python/module:os ''",
    "!!python/object:torchreid_adv.config.AdvConfig {{a: 1}}",
    "!!python/tuple [1, 2]",
    "!!python/bytes x",
    '!!python/object/apply:eval [\'open("{marker}", "w")\']',
    "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch {marker}']",
    "!include /etc/passwd",
    "!!js/function 'function(){{}}'",
    "!ruby/object:Gem::Installer {{i: x}}",
    "!!int 'x'",
    "!!timestamp 'x'",
    "!!bool 'x'",
    "!!float 'x'",
    "!!binary '###'",
    "2001-99-99",
    "!!set 3",
    "!!omap 3",
)

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
MERGES = "a0: &a0 {k: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
)
BROKEN = {
    "aliases": (BOMB, MERGES, "a: &a [*a]", "a: &a {b: *a}", "a: &a {<<: *a}", "a: *nothing",
                "&a : *a", "data: &d {root: *d}", "adv: &x {attack: *x}", "a: &a [[[[*a]]]]"),
    "deep": ("[" * 9000, "{a: " * 5000, "a:\n" + "".join(f"{' ' * i}b:\n" for i in range(1, 300)),
             "- " * 3000, "adv: {transforms: " + "{a: " * 90 + "1" + "}" * 91),
    "too long": ("#" * 1_000_001, "a: b\n" * 30_000, "data: {root: '" + "x" * 200_000 + "'}",
                 "data: {sources: [" + "1," * 30_000 + "]}"),
    "no mapping": ("", "3", "- a\n- b", "just words", "null", "1: 2", "[1]: 2", "{1: {2: 3}}",
                   "--- a\n--- b\n", "true: false", "? \n", "~: 1", "data: {1: 2}", "data: 3",
                   "adv: [1]", "data:", "adv: {attack: }", "2.5: {a: 1}"),
    "binary": (b"\x00\x01\x02", bytes(range(256)), b"\xff\xfe" + "data: {}".encode("utf-16-le"),
               b"\x80\x04\x95", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", b"data: {root: \x07}",
               "data: {root: \u0000}".encode(), b"data: {root: \xe9}", "\ud7ff".encode("utf-16")),
    "given twice": ("data: {root: a, root: b}", "data: {}\ndata: {}",
                    "adv: {attack: {eps: 1, eps: 2}}",
                    "train:\n  lr: 0.1\n  lr: 0.2\n",
                    "model: {name: a}\ntrain: {}\nmodel: {name: b}",
                    "data: {'root': a, root: b}"),
    "no YAML": ("a: [", "a: b: c", "\tdata: x", "data: {root: 'x}", "%YAML 9\n---\n", "@a", "`x`",
                "a: |x\n  b", "data: {root: \"\\q\"}", "{a: 1", "data: {root: !!", "- a\nb: c"),
}  # fmt: skip

PAIRS = (
    ("adv.attack.eps",), ("adv.attack.epz", "8"), ("adv..eps", "8"), ("", "8"), (".", "8"),
    ("adv.attack", "8"), ("adv.attack.eps.levels", "8"), ("a." * 2000 + "b", "1"),
    ("adv.transforms" + ".a" * 200, "1"), ("adv.attack.eps", "(" * 5000),
    ("adv.attack.eps", "__import__('os').system('touch x')"), ("train.lr", "1e"), ("data", "x"),
    ("adv.attack.steps", "9" * 5000), ("adv.attack.eps", "-" * 2000 + "1"),
)  # fmt: skip


def cases(marker):
    """Return all cases; payloads would create the file ``marker``."""
    generator = np.random.default_rng(0)
    tree = dict(leaves(default_config()))
    keys = sorted(tree)
    found = [*unknown_keys(generator, keys), *wrong_types(generator, sorted(tree.items()))]
    found += [setting("range", key, v) for key, values in BAD_VALUES.items() for v in values]
    found += [
        setting("unknown name", key, v, repr(key.split(".")[-1])[1:-1] if "options" in key else " ")
        for key, values in BAD_NAMES.items()
        for v in values
    ]
    found += [
        Case("conflict", names, yaml.safe_dump(tree))
        for tree, names in CONFLICTS
        if names != "use_gpu" or not torch.cuda.is_available()
    ]
    found += [
        setting("unit", key, value)
        for key in ("adv.attack.eps", "adv.attack.step_size")
        for value in UNITS
    ]
    found += [Case("tag", "config", f"data: {{root: {tag.format(marker=marker)}}}") for tag in TAGS]
    found += [
        Case(kind, "config", content) for kind, contents in BROKEN.items() for content in contents
    ]
    code = f"open({str(marker)!r}, 'w')\ncfg = {{}}\n"
    found += [
        Case("other file", "YAML", code, s)
        for s in (".py", ".pyc", ".json", ".txt", "", ".yaml.py")
    ]
    specials = ("folder", "missing", "pipe", "device", "loop")
    found += [Case("no file", "config", special=special) for special in specials]
    found += [Case("pairs", "config", pairs=pairs) for pairs in PAIRS]
    return found
