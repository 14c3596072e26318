"""The golden entries: a name, and the commands of one small run."""

import shlex
from pathlib import Path

import numpy as np
import torch
from markets import write_market
from scripts.tiny_model import TinyClassifier
from vi_images import write_regdb

from torchreid_adv.registry import COMMANDS

CONFIGS = Path(__file__).parents[2] / "configs"
IDENTITIES = 4
SMALL = "data.height 64 data.width 32 data.workers 0 use_gpu False model.pretrained False"
SMALL += " adv.plugins ['scripts.tiny_model'] data.save_dir out adv.job.chunk 4"
TINY = "model.name tiny_classifier model.load_weights a.pth"
TRAINED = "model.name tiny_classifier train.batch_size 8 sampler.num_instances 2 test.batch_size 20"
PEOPLE = "adv.virtual.height 64 adv.virtual.width 32 adv.virtual.distractors 2"
PEOPLE += " adv.virtual.train_identities 8 adv.virtual.test_identities 4 adv.virtual.frames 2"
PEOPLE += " adv.virtual.cameras_per_identity 2 adv.virtual.images_per_camera 2"
MARKET = "-s market1501 -t market1501 --root data"
VIRTUAL = "-s virtual_a -t virtual_a --root data"
NO_PAGE = "adv.report.page False"
LEARNED = "adv.attack.eps 8 adv.meta.iterations 2 adv.meta.virtual virtual_b train.max_epoch 1"
GENERATOR = "adv.mis_ranking.filters 4 adv.mis_ranking.blocks 1"
DRY = {"attack/": "attack-gallery", "defense/": "attack-gallery", "pictures": "pictures"}
DRY |= {name: name for name in ("scenarios", "standard", "transfer", "zoo")}
ZOO = "{normal: {}, jpeg: {adv.defense.name: jpeg}, offline: {adv.engine: adversarial_training,"
ZOO += " adv.training.mode: offline}}"
KILL = "kill"  # in front of a command: killed when its first images are stored


def prepare(place):
    """Write the data set, the weights and the matrix that entries name, below ``place``."""
    write_market(place / "data", identities=IDENTITIES, cameras=2, sizes=((64, 32), (70, 29)))
    write_regdb(place / "data")
    for seed, name in enumerate(("a.pth", "b.pth", "c.pth")):
        torch.manual_seed(seed)
        torch.save({"state_dict": TinyClassifier(IDENTITIES).state_dict()}, place / name)
    (place / "zoo.yaml").write_text(f"adv: {{zoo: {ZOO}}}")
    factor = np.random.default_rng(0).normal(size=(16, 16))
    np.save(place / "metric.npy", np.eye(16) + factor @ factor.T / 16)


def line(command, *parts):
    """Return the words of a command line."""
    return [*command.split(), *(word for part in parts for word in _words(part))]


def _words(part):
    if not isinstance(part, dict):
        return shlex.split(part)
    return [str(word) for pair in part.items() for word in pair]


def gallery(config, *parts, flags=MARKET, page=NO_PAGE):
    """Return the words of an attack on a small gallery by an example config."""
    file = f"--config-file configs/{config}.yaml"
    return line("attack-gallery", file, flags, SMALL, TINY, page, *parts)


def train(config, *parts, flags=MARKET):
    """Return the words of a short training by an example config."""
    return line("train", f"--config-file configs/{config}.yaml", flags, SMALL, TRAINED, *parts)


def attacks():
    """Every example config of an attack, so every registered attack, and both learned ones."""
    steps = {"universal": "", "mis_ranking": "", "square": "adv.attack.options.queries 12"}
    steps |= dict.fromkeys(("nes", "spsa"), "adv.attack.options.queries 24")
    found = {}
    for path in sorted((CONFIGS / "attack").glob("*.yaml")):
        if not path.stem.startswith("vi_"):
            pairs = steps.get(path.stem, "" if path.stem == "fgsm" else "adv.attack.steps 3")
            found[f"attack {path.stem}"] = [gallery(f"attack/{path.stem}", pairs)]
    both = {"adv.attack.models": "['tiny_classifier:a.pth','b=tiny_classifier:b.pth']"}
    found["attack multi_model"][0] += _words(both)
    first = [*train("engine/meta_attack", LEARNED, PEOPLE, "model.load_weights a.pth")]
    weights = "adv.attack.weights out/universal.safetensors data.save_dir out/attack"
    found["attack universal"] = [first, gallery("attack/universal", weights)]
    first = [*train("engine/mis_ranking", LEARNED, GENERATOR, "model.load_weights a.pth")]
    weights = "adv.attack.weights out/generator.safetensors data.save_dir out/attack"
    found["attack mis_ranking"] = [first, gallery("attack/mis_ranking", weights)]
    return found


def runs():
    """Sides, a page, virtual people, shards, a kill, other distances, files checked."""
    steps = "adv.attack.steps 3"
    whole = gallery("attack/ifgsm", steps)
    parts = [gallery("attack/ifgsm", steps, f"adv.job.shard {n}/2") for n in (0, 1)]
    train_side = line("attack-train", MARKET, SMALL, TINY, NO_PAGE, "adv.training.attack pgd")
    train_side += _words("adv.training.weights a.pth")
    return {
        "run page": [gallery("attack/ifgsm", steps, page="")],
        "run query": [gallery("attack/ifgsm", steps, "adv.attack.side query")],
        "run network space": [gallery("attack/ifgsm", steps, "adv.attack.space network")],
        "run rerank": [gallery("attack/ifgsm", steps, "test.rerank True")],
        "run trapezoid": [gallery("attack/ifgsm", steps, "adv.evaluation.ap_rule trapezoid")],
        "run virtual": [gallery("attack/ifgsm", steps, PEOPLE, flags=VIRTUAL)],
        "run shards": [*parts, whole],
        "run half then whole": [parts[0], whole],
        "run kill": [[KILL, *whole], whole],
        "run verify": [whole, line("verify out --root data")],
        "run again": [whole, whole],
        "attack-train": [train_side],
        "contact-sheet": [line("contact-sheet --out out/sheet.png --draws 2")],
    }


def defenses():
    """Every example config of a defense, oblivious and adaptive."""
    found = {}
    for path in sorted((CONFIGS / "defense").glob("*.yaml")):
        pairs = "adv.attack.steps 2 adv.defense.eot_samples 2 adv.defense.draws 2"
        fixed = not any(word in path.stem for word in ("randomized", "xie"))
        pairs = "adv.attack.steps 2" if fixed else pairs
        found[f"defense {path.stem}"] = [gallery(f"defense/{path.stem}", pairs)]
    return found


def engines():
    """Every engine for two epochs, and stopped after one."""
    epochs = "train.max_epoch 2 test.eval_freq 1 adv.attack.steps 2"
    inner = f"{epochs} adv.training.steps 2"
    offline = "adv.training.weights a.pth"
    guided = "train.batch_size 8 sampler.num_instances 4"
    made = {
        "none": train("train/joint_normal", epochs),
        "diversity": train("train/joint_dl", epochs),
        "triplet": train("train/bai_b4", epochs),
        "adversarial_training": train("engine/adversarial_training", inner),
        "classification": train("engine/adversarial_training_classification", inner),
        "consistency": train("engine/adversarial_training_consistency", inner),
        "guided": train("engine/adversarial_training_guided", inner, guided),
        "metric_preserving": train("engine/metric_preserving", epochs, offline),
        "vi_self_attack": line(
            "train --config-file configs/engine/vi_self_attack.yaml --root data", SMALL, PEOPLE,
            "train.max_epoch 2 train.batch_size 8 adv.video.min_length 2 adv.video.first_epochs 1",
            "adv.video.warmup 0 data.width 32 data.height 32 video.seq_len 2 test.eval_freq 1",
        ),
        "cross_modality": line(
            "train --config-file configs/data/regdb.yaml --root data", SMALL, epochs,
            "model.name tiny_classifier train.batch_size 4 sampler.num_instances 2",
        ),
    }  # fmt: skip
    streams = "-s regdb_v2i -t regdb_v2i regdb_i2v data.split_id 0 train.batch_size 4"
    made["two streams"] = line(
        "train --config-file configs/data/sysu_mm01_agw.yaml --root data", streams, SMALL, epochs,
        "sampler.num_instances 2 train.lr 0.001 data.height 32 data.width 16",
    )  # fmt: skip
    found = {f"engine {name}": [words] for name, words in made.items()}
    for name, words in made.items():
        first = [*words, *_words("train.max_epoch 1")]
        further = [*words, *_words("model.resume out/model/model.pth.tar-1")]
        found[f"engine {name}, resumed"] = [first, further]
    loaded = "model.load_weights a.pth"
    found["engine metric_attack"] = [train("engine/metric_attack", epochs, loaded)]
    learned = train("engine/meta_attack", LEARNED, loaded, PEOPLE, "data.save_dir out/learned")
    weights = {"adv.attack.weights": "out/learned/universal.safetensors"}
    short = "adv.meta.iterations 2 adv.meta.virtual virtual_b train.max_epoch 1"
    second = train("engine/meta_defense", short, loaded, PEOPLE, weights, "adv.attack.eps 8")
    found["engine meta_defense"] = [learned, second]
    weights = {"adv.training.universal": "out/learned/universal.safetensors"}
    third = train("engine/adversarial_training_universal", "train.max_epoch 1", weights)
    found["engine universal"] = [learned, third]
    return found


def standard():
    """The lite standard evaluation of one tiny model by two tiny surrogates; a leaderboard."""
    names = {
        "adv.standard.models": "['mine=tiny_classifier:a.pth']",
        "adv.standard.surrogates": "['s=tiny_classifier:b.pth','t=tiny_classifier:c.pth']",
        "adv.standard.version": "lite",
        "test.normalize_feature": "False",
    }
    words = line("standard", MARKET, SMALL, "model.name tiny_classifier", names)
    board = line("leaderboard out --verify --root data")
    return {"standard": [words, line("verify out/market1501/mine --root data"), board]}


def experiments():
    """Transfer, sweep, zoo, scenarios, studies, pictures and tables of papers in toy forms."""
    labels = ("B1", "B2", "B3", "B4", "HA", "N")
    pairs = zip(labels, ("a", "b", "c", "b", "c", "a"), strict=True)
    models = {"adv.transfer.models": repr([f"{n}=tiny_classifier:{w}.pth" for n, w in pairs])}
    transfer = {"adv.transfer.models": "['a=tiny_classifier:a.pth','b=tiny_classifier:b.pth']"}
    grid = "adv.transfer.attacks ['fgsm','odfa']"
    bounds = "adv.transfer.attacks ['fgsm'] adv.transfer.eps [4,12]"
    bounds += " adv.transfer.metrics ['euclidean','cosine']"
    raw = "test.normalize_feature False"
    tested = "model.name tiny_classifier test.normalize_feature True"
    short = "train.max_epoch 1 train.batch_size 8 adv.attack.steps 2"
    learned = {
        "adv.scenarios.models": "['A-virtual_a=tiny_classifier:a.pth',"
        "'B-virtual_b=tiny_classifier:b.pth']",
        "adv.scenarios.perturbations": "['both']",
    }
    scenario = "adv.scenarios.epochs 1 adv.scenarios.batch 4 adv.scenarios.instances 2"
    scenario += " adv.meta.iterations 2 adv.meta.virtual virtual_c adv.attack.space network"
    pictures = {"adv.pictures.models": "['a=tiny_classifier:a.pth','b=tiny_classifier:b.pth']"}
    found = {
        "transfer": [line("transfer", MARKET, SMALL, tested, grid, transfer, NO_PAGE)],
        "sweep": [line("sweep", MARKET, SMALL, TINY, bounds, raw, NO_PAGE)],
        "zoo": [line("zoo --config-file zoo.yaml", VIRTUAL, SMALL, tested, PEOPLE, short, NO_PAGE)],
        "scenarios": [line("scenarios -s virtual_a -t virtual_b --root data", SMALL, PEOPLE,
                           "model.name tiny_classifier adv.attack.eps 32", scenario, learned)],
        "robust-report": [line("robust-report", MARKET, SMALL, tested, NO_PAGE, transfer)],
        "pictures": [line("pictures", MARKET, SMALL, tested, "adv.attack.name sma", pictures,
                          "adv.attack.steps 2 adv.pictures.identities 2")],
    }  # fmt: skip
    for name in ("bai2019.table1", "bai2019.table2", "bai2019.table4", "bai2019.fig3",
                 "joint_defense.table1", "joint_defense.table3"):  # fmt: skip
        found[f"reproduce {name}"] = [
            line(
                f"reproduce {name}", MARKET, SMALL, models, NO_PAGE, "data.height 32 data.width 16"
            )
        ]
    return found | studies()


def studies():
    """Studies of one seed, one epoch and tiny networks."""
    three = "['a=tiny_classifier','b=tiny_classifier@80x40','c=tiny_classifier@48x24']"
    tiny = "adv.study.models ['a=tiny'] adv.attack.steps 1 adv.virtual.distractors 0"
    toys = {
        "attacks": {"adv.study.models": three, "adv.attack.eps": 2},
        "selection": f"{tiny} adv.selection.every 1 train.max_epoch 2",
        "training": "adv.study.models ['a=tiny'] adv.training.eps 2 adv.training.steps 1",
    }
    shared = [SMALL, PEOPLE, "train.max_epoch 1 train.batch_size 8 adv.study.seeds [1]", NO_PAGE]
    return {
        f"study {name}": [
            line(f"study {name} --config-file configs/study/{name}.yaml --root data", *shared, toy)
        ]
        for name, toy in toys.items()
    }


def mistakes():
    """Wrong usages: what is said, and the exit code."""
    run = f"attack-gallery {MARKET} {SMALL} {TINY}"
    lines = {
        "command": "atack-gallery",
        "no command": "",
        "kind": "list atacks",
        "flag": "verify --no-such-flag",
        "late flag": "train model.name resnet50 --dry-run",
        "key": f"{run} adv.attack.epss 8",
        "key without value": f"{run} adv.attack.eps",
        "type": f"{run} adv.attack.steps many",
        "unit": f"{run} adv.attack.eps -1",
        "choice": f"{run} adv.attack.side both",
        "attack": f"{run} adv.attack.name ifgsn",
        "option": f"{run} adv.attack.options.momentun 1",
        "option of another": f"{run} adv.attack.name fgsm adv.attack.steps 3",
        "defense": f"{run} adv.defense.name jpg",
        "metric": f"{run} adv.attack.metric euclid",
        "engine": f"train {MARKET} {SMALL} {TRAINED} adv.engine adversarial",
        "transform": f"train {MARKET} {SMALL} {TRAINED} data.transforms ['lgtt']",
        "model": f"{run} model.name tiny_clasifier",
        "weights": f"{run} model.load_weights none.pth",
        "damaged weights": f"{run} model.load_weights metric.npy",
        "data set": f"attack-gallery -s market -t market --root data {SMALL} {TINY}",
        "no data": f"attack-gallery -s dukemtmcreid -t dukemtmcreid --root none {SMALL} {TINY}",
        "config file": f"attack-gallery --config-file none.yaml {MARKET}",
        "plugin": f"{run} adv.plugins ['no_such_module']",
        "shard": f"{run} adv.job.shard 3/2",
        "learned file": f"{run} adv.attack.name universal",
        "study": "study atacks",
        "table": "reproduce bai2019.table9",
        "verify": "verify data",
        "standard": f"standard {MARKET} {SMALL} {TINY} adv.standard.version heavy",
    }
    return {f"wrong {name}": [line(words)] for name, words in lines.items()}


def texts():
    """What is printed alone: help texts, lists, example configs as they are used, mistakes."""
    found = {f"help {name}": [[name, "--help"]] for name in COMMANDS}
    found["help"] = [["--help"]]
    found["help keys"] = [["list", "--keys"]]
    for kind in ("attacks", "transforms", "defenses", "engines", "distances", "models"):
        found[f"list {kind}"] = [["list", kind]]
    for path in sorted(CONFIGS.rglob("*.yaml")):
        name = path.relative_to(CONFIGS).with_suffix("").as_posix()
        command = next((c for start, c in DRY.items() if name.startswith(start)), "train")
        found[f"config {name}"] = [
            [*command.split(), "--config-file", f"configs/{name}.yaml", "--dry-run"]
        ]
    return found | mistakes()


def entries():
    """Return all entries: name -> command lines; those of :func:`texts` first."""
    made = (texts, attacks, runs, defenses, engines, standard, experiments)
    return {name: lines for function in made for name, lines in function().items()}
