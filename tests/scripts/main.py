"""A stand-in for torchreid's training script: the same imports, names and order of calls."""

import argparse
import os.path as osp
import sys
import time

import torch
import torchreid
from default_config import engine_run_kwargs, get_default_config, imagedata_kwargs
from torchreid.utils import (
    Logger,
    check_isfile,
    compute_model_complexity,
    load_pretrained_weights,
    resume_from_checkpoint,
    set_random_seed,
)


class OwnData(torchreid.data.ImageDataset):
    """A data set class of the user's, in the script itself."""

    def __init__(self, root="", **kwargs):
        market = torchreid.data.datasets.Market1501(root=root, verbose=False)
        super().__init__(market.train, market.query, market.gallery, **kwargs)


class OwnEngine(torchreid.engine.ImageSoftmaxEngine):
    """An engine class of the user's, with its own loss."""

    def forward_backward(self, data):
        return {**super().forward_backward(data), "own_loss": 42.0}


def build_datamanager(cfg):
    if "own" in cfg.data.sources:
        torchreid.data.register_image_dataset("own", OwnData)
    return torchreid.data.ImageDataManager(**imagedata_kwargs(cfg))


def build_engine(cfg, datamanager, model, optimizer, scheduler):
    return OwnEngine(
        datamanager, model, optimizer=optimizer, scheduler=scheduler, use_gpu=cfg.use_gpu
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--config-file", default="")
    parser.add_argument("-s", "--sources", nargs="+")
    parser.add_argument("--transforms", nargs="+")
    parser.add_argument("--root", default="")
    parser.add_argument("opts", nargs=argparse.REMAINDER)
    args = parser.parse_args()

    cfg = get_default_config()
    cfg.use_gpu = torch.cuda.is_available()
    if args.config_file:
        cfg.merge_from_file(args.config_file)
    for name in ("root", "sources", "transforms"):
        if getattr(args, name):
            cfg.data[name] = getattr(args, name)
    cfg.merge_from_list(args.opts)
    set_random_seed(cfg.train.seed)

    log_name = ("test" if cfg.test.evaluate else "train") + time.strftime(".log-%H-%M-%S")
    sys.stdout = Logger(osp.join(cfg.data.save_dir, log_name))
    print(f"Show configuration\n{cfg}\n")

    datamanager = build_datamanager(cfg)
    model = torchreid.models.build_model(
        name=cfg.model.name,
        num_classes=datamanager.num_train_pids,
        loss="softmax",
        pretrained=cfg.model.pretrained,
        use_gpu=cfg.use_gpu,
    )
    params, _ = compute_model_complexity(model, (1, 3, cfg.data.height, cfg.data.width))
    print(f"Model complexity: params={params:,}")
    if cfg.model.load_weights and check_isfile(cfg.model.load_weights):
        load_pretrained_weights(model, cfg.model.load_weights)
    if cfg.use_gpu:
        model = torch.nn.DataParallel(model).cuda()

    optimizer = torchreid.optim.build_optimizer(model, optim=cfg.train.optim, lr=cfg.train.lr)
    scheduler = torchreid.optim.build_lr_scheduler(optimizer)
    if cfg.model.resume and check_isfile(cfg.model.resume):
        resume_from_checkpoint(cfg.model.resume, model, optimizer=optimizer, scheduler=scheduler)
    engine = build_engine(cfg, datamanager, model, optimizer, scheduler)
    engine.run(**engine_run_kwargs(cfg))


if __name__ == "__main__":
    main()
