"""A small attacked data set with real files and features that are drawn at random."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from torchreid_adv.core.pixels import from_levels
from torchreid_adv.distances import build_distance
from torchreid_adv.evaluation import Protocol
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.models.features import Features

EPS = 5


def measure(value):
    cmc = {"1": value, "5": min(1, value + 0.1), "10": min(1, value + 0.2), "20": 1.0}
    return {
        "mAP": value, "cmc": cmc, "mINP": value / 2, "queries": 6, "skipped": 1, "rerank": None,
    }  # fmt: skip


def draw_features(side, pids, camids, *, noise, seed):
    generator = torch.Generator().manual_seed(seed)
    centers = torch.eye(16)[[pid % 16 for pid in pids]]
    values = centers + noise * torch.randn(len(pids), 16, generator=generator)
    names = tuple(
        f"{side}/{pid:04d}_c{cam}_{i}"
        for i, (pid, cam) in enumerate(zip(pids, camids, strict=True))
    )
    return Features(values, torch.tensor(pids), torch.tensor(camids), names)


def target_maker(folder):
    """Return a factory of AttackedData whose images lie below a folder."""

    def make(
        *, name="market1501", people=6, cameras=3, queries=None, side="gallery", strength=1.0,
        rename=lambda image_id: image_id, stored=None, distance=None, **changes,
    ):  # fmt: skip
        pids = [pid for pid in range(people) for _ in range(cameras)]
        camids = [cam for _ in range(people) for cam in range(cameras)]
        gallery = draw_features("gallery", pids, camids, noise=0.1, seed=1)
        query = draw_features("query", list(range(queries or people)), [0] * (queries or people),
                              noise=0.1, seed=2)  # fmt: skip
        query, gallery = (_renamed(part, rename) for part in (query, gallery))
        hit = query if side == "query" else gallery
        moved = hit.values + strength * hit.values.roll(cameras, 0)
        after = Features(moved, hit.pids, hit.camids, hit.image_ids)
        paths, paths_after = _write_images(folder / "images", query, gallery, hit, stored)
        clean, adversarial = measure(0.8), measure(0.004)
        results = {
            "attack": {"name": "ifgsm", "eps": float(EPS), "steps": 10, "metric": "", "side": side},
            "clean": clean, "adversarial": adversarial, "adversarial_float": measure(0.003),
            "map_ratio": 0.005, "positive_distance": {"clean": 0.2, "adversarial": 0.9},
            "linf": {"max": 5, "mean": 4.8}, "images_per_second": 41.7, "defense": None,
            "images": {"total": len(hit), "attacked": len(hit), "unchanged": 0, "left_out": 0},
            "targeted": None,
        }  # fmt: skip
        values = {
            "name": name, "results": results, "query": query, "gallery": gallery,
            "query_after": after if side == "query" else query,
            "gallery_after": after if side == "gallery" else gallery,
            "paths": paths, "paths_after": paths_after, "attacked": frozenset(hit.image_ids),
            "side": side, "eps": from_levels(EPS),
            "protocol": Protocol(distance=distance or build_distance("cosine")),
        }  # fmt: skip
        return AttackedData(**(values | changes))

    return make


def _renamed(features, rename):
    names = tuple(rename(image_id) for image_id in features.image_ids)
    return Features(features.values, features.pids, features.camids, names)


def _write_images(folder, query, gallery, hit, stored):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    paths, paths_after = {}, {}
    for part in (query, gallery):
        for i, image_id in enumerate(part.image_ids):
            width, height = 8 + 5 * (i % 3), 16 + 7 * (i % 2)
            pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
            stem = f"{'query' if part is query else 'gallery'}_{i}"
            paths[image_id] = folder / f"{stem}.png"
            Image.fromarray(pixels).save(paths[image_id])
            if part is hit:
                noise = random.integers(-EPS, EPS + 1, pixels.shape)
                noisy = Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))
                paths_after[image_id] = folder / f"{stem}_adversarial.png"
                (noisy.resize(stored) if stored else noisy).save(paths_after[image_id])
    return paths, paths_after


def results_of(*targets, **changes):
    """Return the content of results.json for some targets."""
    results = {
        "schema": 1, "version": "0.1.0",
        "config": {"model": {"name": "osnet_x1_0"}, "adv": {"attack": {"eps": 5.0}}},
        "model": {"name": "osnet_x1_0", "weights": "model.pth.tar-60", "size": [256, 128]},
        "targets": {target.name: target.results for target in targets},
    }  # fmt: skip
    return results | changes
