"""``adv.engine: meta_defense``: training on universally attacked images, with a meta-test."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from torchreid_adv.attacks import configured_attack
from torchreid_adv.attacks.learned.fitted import Fitted
from torchreid_adv.attacks.learned.universal import UniversalPerturbation
from torchreid_adv.config import AdvConfig, lookup, plain
from torchreid_adv.config.keys import KEYS
from torchreid_adv.engines.adversarial_training import AdversarialTrainingMixin
from torchreid_adv.engines.batches import Mixture, mixture, moved, pixel_model, to_pixels
from torchreid_adv.engines.loaders import EndlessLoader, loader_like, training_set
from torchreid_adv.engines.losses import ReidLoss
from torchreid_adv.engines.meta_gradient import (
    LossOfWeights,
    MetaGradient,
    VirtualHead,
    meta_gradient,
)
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import unwrap
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import ENGINES

USED = {
    "training": ("batchnorm", "evaluate", "report", "weights"),
    "meta": (
        "perturbation",
        "learning",
        "virtual",
        "iterations",
        "ratio",
        "defense_order",
        "inner_lr",
        "clip",
    ),
}
OF_META = ("defense_order", "inner_lr", "clip")  # unused without a meta-test


def check_meta_defense(engine: Any, cfg: AdvConfig) -> None:
    """Refuse settings that MetaDefense does not support.

    Args:
        engine: the torchreid engine, with the mixins.
        cfg: the config.

    Raises:
        ConfigError: the error names the first such setting, and how to fix it.
    """
    settings = cfg.adv.meta
    if engine.datamanager.data_type != "image":
        raise ConfigError("adv.engine meta_defense is for data.type image, got video")
    if cfg.adv.attack.name != "universal":
        raise ConfigError(
            "adv.engine meta_defense trains against a universal perturbation that was learned "
            "before; set adv.attack.name universal and name its file in adv.attack.weights"
        )
    if settings.learning in ("two_step", "twice"):
        raise ConfigError(
            f"adv.meta.learning {settings.learning} is a way to learn a perturbation (adv.engine "
            "meta_attack); adv.engine meta_defense takes meta, source or joined"
        )
    for section in USED:
        _check_unused(cfg, section, without=OF_META if settings.learning != "meta" else ())
    if settings.learning == "virtual":
        raise ConfigError(
            "adv.engine meta_defense trains a network for data.sources; to train on the virtual "
            "set alone, name it there and set adv.meta.learning source"
        )
    if settings.learning == "joined" and settings.virtual not in engine.datamanager.sources:
        raise ConfigError(
            f"adv.meta.learning joined trains on both sets with one head; name "
            f"'{settings.virtual}' in data.sources, too, so that torchreid builds it"
        )
    if settings.learning == "meta" and not lookup(cfg, "test.evaluate", False):
        _check_meta(engine, cfg)


def _check_meta(engine: Any, cfg: AdvConfig) -> None:
    if isinstance(engine.model, DistributedDataParallel) or hasattr(engine, "team"):
        raise ConfigError(
            "adv.meta.learning meta trains in one process, on one GPU; start it without torchrun"
        )
    stock = torchreid_module("engine")
    kinds = (stock.ImageSoftmaxEngine, stock.ImageTripletEngine)
    known = isinstance(engine, kinds) and any(
        kind.forward_backward is _own_step(engine) for kind in kinds
    )
    if not known:
        raise ConfigError(
            "adv.meta.learning meta takes the losses of torchreid's softmax and triplet engines "
            f"for images, and {type(engine).__name__} replaces their step; set adv.meta.learning "
            "source, which leaves that to the engine"
        )
    sampler = lookup(cfg, "sampler.train_sampler", "")
    mined = isinstance(engine, stock.ImageTripletEngine) and engine.weight_t > 0
    if mined and sampler == "RandomSampler":
        raise ConfigError(
            "a triplet loss needs several images of an identity in a batch; set "
            "sampler.train_sampler RandomIdentitySampler"
        )


def _own_step(engine: Any) -> Any:
    """Return the ``forward_backward`` of the engine's class, without the mixins."""
    ours = __name__.split(".")[0]
    kinds = [k for k in type(engine).__mro__ if k.__module__.split(".")[0] != ours]
    return next(vars(k)["forward_backward"] for k in kinds if "forward_backward" in vars(k))


def _check_unused(cfg: AdvConfig, section: str, without: tuple[str, ...]) -> None:
    for key in KEYS:
        part, _, name = key.name.partition(".")
        idle = part == section and (name not in USED[section] or name in without)
        if idle and plain(lookup(cfg, f"adv.{key.name}")) != plain(key.default):
            reason = " without adv.meta.learning meta" if name in without else ""
            raise ConfigError(
                f"adv.engine meta_defense does not use adv.{key.name}{reason}; leave it "
                f"{key.default!r}"
            )


@ENGINES.register("meta_defense", title="training against a universal attack, with a meta-test")
class MetaDefenseMixin(AdversarialTrainingMixin):
    """MetaDefense (Yang et al., 2022, Algorithm 2) and its ablations, with the engine's losses.

    A random share of each batch is perturbed by a fixed, learned universal perturbation.
    ``adv.meta.learning`` says whether a virtual set is the meta-test of each step, or there is
    none. Evaluations, checkpoints and reports are those of adversarial training.
    """

    train_loader: Any
    meta_config: AdvConfig
    perturbation: UniversalPerturbation
    virtual: EndlessLoader | None
    head: VirtualHead | None

    def adapt(self, cfg: AdvConfig) -> None:
        """Read the config; load the perturbation and the virtual set.

        Raises:
            ConfigError: keys exclude each other or are not used here, the file is missing, or the
                engine or network is not supported.
            DataError: the virtual set is missing.
        """
        check_meta_defense(self, cfg)
        super().adapt(cfg)
        attack = configured_attack(cfg)
        assert isinstance(attack, Fitted)
        assert isinstance(attack.perturbation, UniversalPerturbation)
        settings = cfg.adv.meta
        self.perturbation = attack.perturbation.part(settings.perturbation)
        self.meta_config, self.virtual, self.head = cfg, None, None
        if lookup(cfg, "test.evaluate", False):
            return
        stock = self.train_loader
        if settings.learning == "meta":
            self._prepare(training_set(cfg, settings.virtual, stock.dataset.transform))
        if settings.iterations:
            self.train_loader = EndlessLoader(stock, settings.iterations)

    def train(self, *args: Any, **keywords: Any) -> None:
        """Train an epoch; each starts with new draws of both sets."""
        for rounds in (self.train_loader, self.virtual):
            if isinstance(rounds, EndlessLoader):
                rounds.restart()
        super().train(*args, **keywords)

    def kept_state(self) -> dict[str, Any]:
        """Return the state of adversarial training, and the virtual set's identity layers."""
        state = super().kept_state()
        return state if self.head is None else {**state, "virtual_head": self.head.state()}

    def take_state(self, state: dict[str, Any]) -> None:
        """Continue from a stored state.

        Raises:
            KeyError, ValueError: the state comes from another virtual set, or from none.
        """
        super().take_state(state)
        if self.head is not None:
            self.head.load(state["virtual_head"])

    def _prepare(self, virtual: Any) -> None:
        """Prepare the meta-test: its batches, and its identity layers if used."""
        cfg, network = self.meta_config, unwrap(self.model)
        self.virtual = EndlessLoader(loader_like(self.train_loader, virtual, cfg))
        self.loss = ReidLoss.of(self)
        self.virtual_loss = self.loss.with_classes(virtual.num_train_pids)
        if self.loss.weight_x > 0:
            self.head = VirtualHead(
                network,
                self.optimizer,
                identities=self.datamanager.num_train_pids,
                count=virtual.num_train_pids,
                seed=int(lookup(cfg, "train.seed", 0)),
            )

    def _online(self, data: Any) -> dict[str, float]:
        if self.virtual is None:
            return super()._online(data)
        policy = self.training_config.adv.training.batchnorm
        network, sides = unwrap(self.model), (data, self.virtual.next())
        batches = [self._mixed(*self._loaded(side)) for side in sides]
        losses = (self.loss, self.virtual_loss)
        train, test = (
            LossOfWeights(network, batch, loss, policy)
            for batch, loss in zip(batches, losses, strict=True)
        )
        self._names = [str(name) for side in sides for name in side.get("impath", ())]
        gradient = self._step(network, train, test)
        summary = {"loss_tr": float(gradient.train), "loss_te": float(gradient.test)}
        if gradient.second is not None:
            summary["second"] = gradient.second
        return {**summary, **train.summary}

    def _step(self, network: nn.Module, train: LossOfWeights, test: LossOfWeights) -> MetaGradient:
        """Update the network and the virtual set's layers by one gradient, and return it."""
        settings = self.meta_config.adv.meta
        parameters = {n: p for n, p in network.named_parameters() if p.requires_grad}
        rate = self.optimizer.param_groups[0]["lr"]
        gradient = meta_gradient(
            train,
            test,
            parameters,
            head=self.head.parameters if self.head else {},
            lr=rate if settings.inner_lr is None else settings.inner_lr,
            order=settings.defense_order,
        )
        if gradient.second is not None:
            self.check_finite("second", gradient.second)
        gradient = gradient.clipped(settings.clip) if settings.clip else gradient
        self.optimizer.zero_grad()
        for name, parameter in parameters.items():
            parameter.grad = gradient.network.get(name)
        self.optimizer.step()
        if self.head is not None:
            self.head.step(gradient.head)
        return gradient

    def _mixed(self, images: Tensor, pids: Tensor) -> Mixture:
        """Return a batch with adversarial forms of a random share of it, as ``N_adv``."""
        model, share = pixel_model(self), self.meta_config.adv.meta.ratio
        rows = torch.randperm(len(images))[: round(share * len(images))].to(images.device)
        clean = to_pixels(model, images[rows])
        with torch.no_grad():
            adversarial = self.perturbation.to(images.device)(clean)
        attacked = moved(model, images[rows], clean, adversarial)
        return mixture(images, pids, rows, attacked, mix="both", pairs=False)

    def _loaded(self, data: Any) -> tuple[Tensor, Tensor]:
        images, pids = self.parse_data_for_train(data)
        return (images.cuda(), pids.cuda()) if self.use_gpu else (images, pids)
