"""A stand-in for the config module of a torchreid training script."""

from yacs.config import CfgNode as CN

DEFAULTS = {
    "model": {"name": "resnet50", "pretrained": True, "load_weights": "", "resume": ""},
    "data": {
        "type": "image",
        "root": "reid-data",
        "sources": ["market1501"],
        "targets": ["market1501"],
        "workers": 4,
        "height": 256,
        "width": 128,
        "transforms": ["random_flip"],
        "save_dir": "log",
    },
    "sampler": {"train_sampler": "RandomSampler"},
    "train": {"optim": "adam", "lr": 0.0003, "max_epoch": 60, "batch_size": 32, "seed": 1},
    "test": {"batch_size": 100, "dist_metric": "euclidean", "ranks": [1, 5], "evaluate": False},
}


def get_default_config():
    return CN(DEFAULTS)


def imagedata_kwargs(cfg):
    names = ("root", "sources", "targets", "height", "width", "transforms", "workers")
    return {
        **{name: cfg.data[name] for name in names},
        "use_gpu": cfg.use_gpu,
        "train_sampler": cfg.sampler.train_sampler,
        "batch_size_train": cfg.train.batch_size,
        "batch_size_test": cfg.test.batch_size,
    }


def engine_run_kwargs(cfg):
    return {
        "save_dir": cfg.data.save_dir,
        "max_epoch": cfg.train.max_epoch,
        "test_only": cfg.test.evaluate,
        "dist_metric": cfg.test.dist_metric,
        "ranks": cfg.test.ranks,
        "print_freq": 1,
    }
