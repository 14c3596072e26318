"""Every way to a clean score, on small data sets of every layout, and independent scores."""

import json
import random
from pathlib import Path

import further_sets
import markets
import numpy as np
import torch
import vi_images
from further_sets import write_duke, write_msmt17, write_personx
from markets import write_market
from PIL import Image
from torch.nn import functional as F
from vi_images import write_llcm, write_regdb, write_sysu

import torchreid_adv as adv
from torchreid_adv import config
from torchreid_adv.config import torchreid_keys
from torchreid_adv.engines.trained import train_quietly
from torchreid_adv.experiments.standard_runs import standard
from torchreid_adv.integration.hooks import installed
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.loading import build_network
from torchreid_adv.runs import torchreid_checks
from torchreid_adv.runs.attack_dataset import attack_gallery
from torchreid_adv.runs.grid import transfer
from torchreid_adv.runs.inputs import configured_dataset
from torchreid_adv.runs.torchreid_checks import ready
from torchreid_adv.standard.versions import Version

SIZE = (32, 16)
PEOPLE = {"height": 64, "width": 32, "distractors": 2, "train_identities": 3}
PEOPLE |= {"test_identities": 4, "cameras_per_identity": 2, "images_per_camera": 2}
FEW = Version("lite", 1, 1, 1, 1, 2, 1, transfer_steps=1, epochs=1, eot=1, draws=1, sample=2,
              chunk=8, bootstrap=2, eps=(4,), curve=(4,))  # fmt: skip


def hard(pid, camid, index, height=32, width=16):
    """A person that is not easily found, so that a wrong rule shows."""
    draws = np.random.default_rng([pid, camid, index])
    tones = np.random.default_rng(pid).integers(90, 166, (4, 1, 3))
    pixels = np.repeat(np.repeat(tones, -(-height // 4), 0)[:height], width, 1).astype(float)
    pixels += 25 * np.array([camid % 2, 0.5, camid % 3]) + draws.normal(0, 40, pixels.shape)
    pixels += draws.normal(0, 30, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def noisy(path, pid, modality):
    """An image that no other one is like, so that draws and cameras matter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(list(str(path.relative_to(path.parents[3])).encode()))
    tones = np.random.default_rng(pid).integers(60, 196, (4, 1, 3)).repeat(8, 0).repeat(16, 1)
    pixels = tones + 30 * modality + draws.normal(0, 60, tones.shape)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def write_cuhk03(root):
    """Small images and both kinds of splits, as torchreid leaves them."""
    base, sides = root / "cuhk03", {"train": [], "query": [], "gallery": []}
    (base / "cuhk03_release").mkdir(parents=True)
    (base / "cuhk03_release" / "cuhk-03.mat").touch()
    for name in ("detected", "labeled"):
        (base / f"cuhk03_new_protocol_config_{name}.mat").touch()
    for name in ("images_detected", "images_labeled"):
        (base / name).mkdir(parents=True)
    for pid in range(6):
        for camid in range(2):
            for index in range(3):
                path = base / "images_detected" / f"1_{pid + 1:03d}_{camid + 1}_{index + 1:02d}.png"
                hard(pid, camid, index).save(path)
                side = "train" if pid > 3 else "gallery" if index else "query"
                sides[side].append([str(path), pid - 4 if pid > 3 else pid, camid])
    facts = {f"num_{side}_{of}": 2 for side in sides for of in ("pids", "imgs")}
    for kind in ("classic", "new"):
        for name in ("detected", "labeled"):
            (base / f"splits_{kind}_{name}.json").write_text(json.dumps([{**sides, **facts}]))


def write_deepchange(root):
    sides = {"train-set": (1, 2), "val-set-query": (3,), "val-set-gallery": (3,)}
    sides |= {"test-set-query": (4, 5, 6), "test-set-gallery": (4, 5, 6, 7)}
    for split, people in sides.items():
        lines = []
        for pid in people:
            for camera, tracklet in ((1, 10), (2, 20)):
                index = ("query" in split) * 5
                name = f"P{pid}_C{camera}_1_{index}.jpg"
                path = root / "DeepChangeDataset" / split / name
                path.parent.mkdir(parents=True, exist_ok=True)
                hard(pid, camera, index).save(path)
                lines.append(f"{name},{pid * 100 + tracklet + index}")
        (root / "DeepChangeDataset" / f"{split}-bbox.txt").write_text("\n".join(lines) + "\n")


def write_all(root, patch):
    """Write every layout below a data root."""
    patch.setattr(vi_images, "image", noisy)
    for module in (markets, further_sets):
        patch.setattr(module, "person", hard)
    write_market(root, identities=3, cameras=2, sizes=(SIZE, (30, 15)))
    for write in (write_duke, write_msmt17, write_personx, write_cuhk03, write_deepchange):
        write(root)
    for write in (write_sysu, write_regdb, write_llcm):
        write(root)


# data set -> its own protocol, and keys that it is scored with, too
SETS = {
    "market1501": {},
    "dukemtmcreid": {},
    "msmt17": {},
    "personx_456": {},
    "deepchange": {},
    "virtual_a": {},
    "cuhk03": {},
    "cuhk03 metric": {"cuhk03.use_metric_cuhk03": True},
    "sysu_mm01": {},
    "sysu_mm01_indoor": {},
    "regdb_i2v": {},
    "regdb_v2i": {},
    "llcm_i2v": {},
    "llcm_v2i": {},
    "adversarial market1501": {},
    "adversarial sysu_mm01": {},
    "adversarial llcm_v2i": {},
}


def make_config(root, weights, name, out, **keys):
    """Return the config that all paths take; keys have ``__`` for a dot."""
    cfg = torchreid_keys.default_config()
    settings = {
        "data.root": str(root),
        "data.sources": [name],
        "data.targets": [name],
        "data.height": SIZE[0],
        "data.width": SIZE[1],
        "data.workers": 0,
        "data.save_dir": str(out),
        "data.transforms": [],
        "model.name": "tiny",
        "model.load_weights": str(weights),
        "model.pretrained": False,
        "train.batch_size": 2,
        "test.batch_size": 7,
        "test.normalize_feature": True,
        "use_gpu": False,
        "adv.plugins": ["scripts.tiny_model"],
        "adv.report.page": False,
        "adv.attack.name": "fgsm",
        "adv.attack.eps": 4,
        "adv.transfer.attacks": ["fgsm"],
        "adv.transfer.models": [f"a=tiny:{weights}"],
        "adv.standard.version": "lite",
        "adv.standard.tracks": ["Q"],
        **{f"adv.virtual.{key}": value for key, value in PEOPLE.items()},
        **{key.replace("__", "."): value for key, value in keys.items()},
    }
    cfg.merge_from_list([part for pair in settings.items() for part in map(str, pair)])
    torchreid_checks.check(cfg)
    return cfg


def write_weights(path):
    import scripts.tiny_model  # noqa: F401 (registers the network)

    torch.manual_seed(3)
    torch.save({"state_dict": build_network("tiny").state_dict()}, path)
    return path


def at(cfg, **keys):
    own = cfg.clone()
    for key, value in keys.items():
        section, _, leaf = key.replace("__", ".").rpartition(".")
        config.lookup(own, section)[leaf] = value
    return own


# every path: config -> (measures of the clean ranking, facts of its protocol, if it records them)
def of_run(cfg, out):
    own = at(cfg, data__save_dir=str(out / "run"))
    with ready(own):
        attack_gallery(own)
    (facts,) = json.loads((out / "run" / "results.json").read_text())["targets"].values()
    return facts["clean"], facts["protocol"]


def of_engine(cfg, out):
    own = at(cfg, data__save_dir=str(out / "engine"), test__evaluate=True)
    engine = train_quietly(own)
    (result,) = engine.results.values()
    return result.to_dict(), None


def of_transfer(cfg, out):
    own = at(cfg, data__save_dir=str(out / "transfer"))
    with ready(own):
        (cell,) = transfer(own)
    return cell.clean, cell.protocol


def of_standard(cfg, out):
    own = at(cfg, data__save_dir=str(out / "standard"))
    with ready(own):
        (path,) = standard(own)
    facts = json.loads(path.read_text())
    (found,) = facts["tracks"]["Q"].values()
    return found["clean"], facts["protocol"]


def of_python(cfg, out, **rules):
    with ready(cfg):
        data = configured_dataset(cfg, cfg.data.targets[0])
    model = adv.load_model("tiny", cfg.model.load_weights, size=SIZE)
    if cfg.cuhk03.use_metric_cuhk03:
        rules["protocol"] = "cuhk03"
    return adv.evaluate(model, data, **rules).to_dict(), None


PATHS = {
    "run": of_run,
    "engine": of_engine,
    "transfer": of_transfer,
    "standard": of_standard,
    "evaluate": of_python,
}


def torchreid_sides(cfg):
    """Return features and labels of torchreid's own test loaders, without our evaluation."""
    with installed(), config.using(cfg):
        config.setup(cfg)
        manager = torchreid_module("data").ImageDataManager(
            root=cfg.data.root, sources=cfg.data.sources, height=SIZE[0], width=SIZE[1],
            batch_size_train=2, workers=0, use_gpu=False, transforms=[],
        )  # fmt: skip
        network = build_network("tiny").eval()
        network.load_state_dict(torch.load(cfg.model.load_weights)["state_dict"])
        loaders, sides = manager.test_loader[cfg.data.targets[0]], []
        for side in ("query", "gallery"):
            parts = [(network(b["img"]), b["pid"], b["camid"], b["impath"]) for b in loaders[side]]
            values, pids, camids = (torch.cat(part) for part in list(zip(*parts, strict=True))[:3])
            names = [name for part in parts for name in part[3]]
            values = F.normalize(values.detach().double(), dim=1)
            sides.append((values, pids.numpy(), camids.numpy(), names))
        return sides


def torchreid_scores(sides):
    """Return mAP and Rank-1, 5 and 10 by torchreid's own evaluation, its Python version."""
    (query, pids, camids, _), (gallery, g_pids, g_camids, _) = sides
    distances = torch.cdist(query, gallery).numpy()
    ranked = torchreid_module("metrics").evaluate_rank(
        distances, pids, g_pids, camids, g_camids, max_rank=10, use_cython=False
    )
    curve = list(ranked[0]) + [ranked[0][-1]] * 10  # a gallery of fewer images
    return {"mAP": ranked[1], "1": curve[0], "5": curve[4], "10": curve[9]}


def published_scores(sides, name):
    """Return the same by the published rules of a visible-infrared set, by a slow loop.

    SYSU-MM01 and LLCM: ten galleries of one image of an identity by each camera, drawn with
    Python's generator seeded 0 to 9, identities and cameras in order, files by name. SYSU-MM01's
    camera 3 is not searched in camera 2; by LLCM, an identity's images by the query's camera do not
    count; RegDB counts everything. The match curve of SYSU-MM01 and LLCM counts identities.
    """
    (query, pids, camids, _), (gallery, g_pids, g_camids, names) = sides
    distances = torch.cdist(query, gallery).numpy()
    precisions, curves = [], []
    for trial in range(1 if name.startswith("regdb") else 10):
        columns = range(len(names))
        if not name.startswith("regdb"):
            generator, columns = random.Random(trial), []
            for pid in sorted(set(g_pids.tolist())):
                for camid in sorted(set(g_camids.tolist())):
                    own = [n for n in range(len(names)) if (g_pids[n], g_camids[n]) == (pid, camid)]
                    own.sort(key=lambda n: Path(names[n]).name)
                    columns += [generator.choice(own)] if own else []
        for q in range(len(query)):
            people = []
            for n in sorted(columns, key=lambda n, q=q: distances[q, n]):
                if name.startswith("sysu") and (camids[q], g_camids[n]) == (2, 1):
                    continue
                own = (g_pids[n], g_camids[n]) == (pids[q], camids[q])
                if name.startswith("llcm") and own:
                    continue
                people.append(g_pids[n])
            hits = [place for place, pid in enumerate(people) if pid == pids[q]]
            if not hits:
                continue
            precisions.append(np.mean([(i + 1) / (place + 1) for i, place in enumerate(hits)]))
            seen = people if name.startswith("regdb") else list(dict.fromkeys(people))
            curves.append([pids[q] in seen[:k] for k in (1, 5, 10)])
    shares = np.mean(curves, axis=0)
    return {"mAP": np.mean(precisions), **dict(zip(("1", "5", "10"), shares, strict=True))}
