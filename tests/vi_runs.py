"""Runs of ``adv.engine: vi_self_attack`` on a small HITSZ-VCM."""

from torchreid_adv.config import torchreid_keys
from torchreid_adv.engines.train import train
from torchreid_adv.runs import torchreid_checks


def vi_settings(root, folder):
    """Return keys and values of a short training on 32 x 32 frames."""
    return {
        "data.type": "video",
        "data.root": str(root),
        "data.sources": "['vcm_i2v']",
        "data.targets": "['vcm_i2v', 'vcm_v2i']",
        "data.height": 32,
        "data.width": 32,
        "data.workers": 0,
        "data.save_dir": str(folder),
        "data.transforms": "[]",
        "model.name": "self_attack_video_resnet18",
        "model.pretrained": False,
        "sampler.train_sampler": "CrossModalityTrackletSampler",
        "sampler.num_instances": 4,
        "video.seq_len": 2,
        "video.sample_method": "restricted",
        "train.optim": "sgd",
        "train.lr": 0.01,
        "train.batch_size": 8,
        "train.max_epoch": 1,
        "loss.name": "softmax",
        "test.batch_size": 4,
        "test.dist_metric": "cosine",
        "adv.engine": "vi_self_attack",
        "adv.video.min_length": 2,
        "adv.video.warmup": 0,
        "use_gpu": False,
    }


def run(settings, **changed):
    """Train as settings say, with keys changed (``__`` for a dot), and return the engine."""
    cfg = torchreid_keys.default_config()
    pairs = {**settings, **{key.replace("__", "."): value for key, value in changed.items()}}
    cfg.merge_from_list([part for pair in pairs.items() for part in pair])
    torchreid_checks.check(cfg)
    return train(cfg)
