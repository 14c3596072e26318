"""EvaluationMixin: torchreid's evaluation, exact and fast, with mINP and readable results."""

from __future__ import annotations

import contextlib
import copy
import io
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from torchreid_adv.config import AdvConfig
from torchreid_adv.core.loggers import log
from torchreid_adv.core.speaking import tell
from torchreid_adv.defenses.torchreid_transform import defend_tests
from torchreid_adv.distances import FittedDistance
from torchreid_adv.engines.before_training import check_batches, check_testable, clothes_in
from torchreid_adv.engines.saving import whole_checkpoints
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation import Protocol, RetrievalResult
from torchreid_adv.integration.datasets import has_no_training
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.features import Features
from torchreid_adv.models.output import features_in
from torchreid_adv.registry import ENGINES, PROTOCOLS

if TYPE_CHECKING:
    Base: Any
else:
    Base = object

# keywords of torchreid's Engine.run that decide a score
ENGINE_RULES = ("dist_metric", "normalize_feature", "rerank", "ranks", "use_metric_cuhk03")


def in_order(features: Features) -> Features:
    """Return features ordered by file name, as in all other commands.

    Ties rank in the order of the gallery, and drawn galleries depend on it, so this makes an engine
    score as these commands do. If names are only numbers, the order is kept.
    """
    if all(name.isdigit() for name in features.image_ids):
        return features
    rows = sorted(range(len(features)), key=features.image_ids.__getitem__)
    return features.taken(rows)


@ENGINES.register("evaluation", internal=True)
class EvaluationMixin(Base):
    """The evaluation of every adapted engine: same log lines, same numbers, less time.

    ``results`` maps each data set's name to the :class:`RetrievalResult` of its last evaluation. An
    engine that overrides ``_evaluate`` keeps its own.
    """

    results: dict[str, RetrievalResult]
    adv_config: AdvConfig
    defense_draws: int
    leads = True  # whether this process writes, if several train together
    trains_network = True  # whether the network is trained, and so stored in checkpoints

    def adapt(self, cfg: AdvConfig) -> None:
        """Read the config; called once, when the engine is adapted.

        Raises:
            ConfigError: the protocol or the defense of the evaluation cannot be built; raised
                before training.
        """
        for loaders in self.test_loader.values():
            Protocol.configured(cfg, loaders["gallery"].dataset)
        self.adv_config = cfg
        self.results = {}
        self.defense_draws = defend_tests(self, cfg)

    def before_training(self) -> None:
        """Refuse a training that has no batch, or that cannot be tested at its end.

        Raises:
            ConfigError: there are fewer training images than a batch takes.
            DataError: no query of a test set has a match in its gallery.
        """
        check_batches(self.train_loader, self.datamanager.sources)
        stock = torchreid_module("engine.engine").Engine._evaluate
        if getattr(super()._evaluate, "__func__", None) is stock:
            for name, loaders in self.test_loader.items():
                check_testable(name, loaders["query"], loaders["gallery"])

    def train(self, *args: Any, **keywords: Any) -> None:
        """Train for an epoch, and tell a caller's callback."""
        super().train(*args, **keywords)
        tell("training", self.epoch + 1, self.max_epoch)

    def test(self, *args: Any, save_dir: str = "", **keywords: Any) -> float:
        """Save first, so that a failing test loses no training; then evaluate."""
        if self.trains_network and save_dir and "max_epoch" in vars(self):
            with contextlib.redirect_stdout(
                io.StringIO()
            ):  # it will be saved again with its rank-1
                self.save_before_test(save_dir)
        rank1: float = super().test(*args, save_dir=save_dir, **keywords)
        return rank1

    def save_before_test(self, save_dir: str) -> None:
        """Save the checkpoint of the epoch, without its rank-1."""
        with whole_checkpoints(save_dir, self.leads) as folder:
            super().save_model(self.epoch, math.nan, folder)

    def extract_features(self, input: Tensor) -> Tensor:
        """Return features, averaged over the draws of a random defense."""
        if self.defense_draws == 1:
            features: Tensor = super().extract_features(input)
        else:
            features = super().extract_features(input.flatten(0, 1))
            features = features.unflatten(0, input.shape[:2]).mean(1)
        return features

    @torch.no_grad()
    def _evaluate(self, dataset_name: str = "", **keywords: Any) -> tuple[float, float]:
        """Print torchreid's lines, plus mINP, and return (rank-1, mAP).

        Args:
            dataset_name: the target.
            keywords: those of torchreid's ``Engine._evaluate``.
        """
        stock = torchreid_module("engine.engine").Engine._evaluate
        evaluate = super()._evaluate
        if getattr(evaluate, "__func__", None) is not stock:
            return evaluate(dataset_name=dataset_name, **keywords)
        protocol = self._protocol(keywords)
        query = self._features(keywords["query_loader"], "query")
        gallery = self._features(keywords["gallery_loader"], "gallery")
        sides = {"query": query, "gallery": gallery}
        result = self._scored(dataset_name, sides, protocol, keywords)
        self.results[dataset_name] = result
        self.log_scores(f"{dataset_name}/clean", result)
        if keywords.get("visrank"):
            self._draw_ranks(sides, dataset_name, protocol, keywords)
        self.evaluated(dataset_name, sides, protocol, keywords)
        return result.rank(1), result.mAP

    def log_scores(self, name: str, result: RetrievalResult) -> None:
        """Tell loggers of an evaluation, at the epoch that it is of."""
        values = {f"{name}/mAP": result.mAP, f"{name}/rank1": result.rank(1)}
        log(values, step=int(getattr(self, "epoch", 0)))

    def evaluated(
        self, name: str, sides: dict[str, Features], protocol: Protocol, keywords: dict[str, Any]
    ) -> None:
        """Extend the evaluation of a data set in a training mixin; does nothing here.

        Args:
            name: the data set.
            sides: features of ``query`` and ``gallery``, in the order of the loaders.
            protocol: the rules of the scores.
            keywords: those of torchreid's ``Engine._evaluate``.
        """

    def print_scores(
        self, sides: dict[str, Features], protocol: Protocol, keywords: dict[str, Any]
    ) -> dict[str, RetrievalResult]:
        """Score features and print the scores; the first scores are those torchreid asks for.

        With torchreid's ``rerank`` these are only the re-ranked scores. With
        ``adv.evaluation.rerank`` re-ranked scores follow the plain ones.

        Args:
            sides: features of ``query`` and ``gallery``.
            protocol: the rules.
            keywords: those of torchreid's ``Engine._evaluate``.

        Returns:
            ``plain``, ``reranked`` or both.
        """
        pair = in_order(sides["query"]), in_order(sides["gallery"])
        kinds = {"plain": protocol.plain, "reranked": protocol}
        if protocol.rerank is None:
            del kinds["reranked"]
        elif keywords.get("rerank"):
            del kinds["plain"]
        results = {kind: rules.evaluate(*pair) for kind, rules in kinds.items()}
        for number, result in enumerate(results.values()):
            if number:
                print("** Re-ranked **")
            print(*result.lines(keywords.get("ranks", [1, 5, 10, 20])), sep="\n")
        return results

    def _scored(
        self,
        name: str,
        sides: dict[str, Features],
        protocol: Protocol,
        keywords: dict[str, Any],
    ) -> RetrievalResult:
        print(f"Computing distance matrix with metric={protocol.distance.name} ...")
        if keywords.get("rerank"):
            print("Applying person re-ranking ...")
        protocol_name = protocol.name if protocol.name in PROTOCOLS else ""
        rules = f"by the protocol {protocol_name} " if protocol_name else ""
        print(f"Computing CMC and mAP {rules}...")
        print("** Results **")
        results = self.print_scores(sides, protocol, keywords)
        return next(iter(results.values()))

    def _protocol(self, keywords: dict[str, Any]) -> Protocol:
        """Return the rules of the keywords, with a distance fitted to the training images.

        Raises:
            ConfigError: rules exclude each other, or pictures of drawn galleries are requested.
        """
        data = getattr(keywords.get("gallery_loader"), "dataset", None)
        rules = {name: value for name, value in keywords.items() if name in ENGINE_RULES}
        protocol = Protocol.configured(self.adv_config, data, **rules)
        if keywords.get("visrank") and protocol.name in PROTOCOLS:
            raise ConfigError(
                f"torchreid's pictures do not know the protocol '{protocol.name}' of this data "
                "set; set test.visrank False"
            )
        distance = protocol.distance
        if isinstance(distance, FittedDistance):
            train = in_order(self._features(self._train_loader(), "train"))
            print(f"Fitting {distance.name} to {len(train)} training images ...")
            distance.fit(train.values, train.pids, train.camids)
        return protocol

    def _train_loader(self) -> DataLoader[Any]:
        """Return a loader of the training images, in order, with the test transform."""
        stock = self.datamanager.train_loader
        images = copy.copy(getattr(stock.dataset, "images", stock.dataset))
        if has_no_training(images):
            raise DataError(
                f"{', '.join(self.datamanager.sources)} has no training images to fit a distance "
                "to; give another -s, or another test.dist_metric"
            )
        images.transform, images.k_tfm = self.datamanager.transform_te, 1
        return DataLoader(images, batch_size=stock.batch_size, num_workers=stock.num_workers)

    def _features(self, loader: Any, side: str) -> Features:
        print(f"Extracting features from {side} set ...")
        values, pids, camids = [], [], []
        names: list[Any] = []
        for data in loader:
            images, *labels = self.parse_data_for_eval(data)
            images = images.cuda() if self.use_gpu else images
            answer = self.extract_features(images)
            values.append(features_in(answer, None, len(images)).cpu())
            pids.append(torch.as_tensor(labels[0]))
            camids.append(torch.as_tensor(labels[1]))
            names += data.get("impath") or range(len(names), len(names) + len(pids[-1]))
        features = Features(
            torch.cat(values).float(),
            torch.cat(pids),
            torch.cat(camids),
            tuple(map(str, names)),
            clothes_in(loader.dataset),
        )
        print(f"Done, obtained {len(features)}-by-{features.values.size(1)} matrix")
        return features

    def _draw_ranks(
        self, sides: dict[str, Features], name: str, protocol: Protocol, keywords: dict[str, Any]
    ) -> None:
        query, gallery = sides["query"], sides["gallery"]
        if protocol.rerank is not None and keywords.get("rerank"):
            matrix = protocol.rerank.matrix(query, gallery, protocol.distance)
        else:
            matrix = protocol.distance(query.values, gallery.values)
        torchreid_module("utils").visualize_ranked_results(
            matrix.numpy(),
            self.datamanager.fetch_test_loaders(name),
            self.datamanager.data_type,
            width=self.datamanager.width,
            height=self.datamanager.height,
            save_dir=f"{keywords.get('save_dir', '')}/visrank_{name}",
            topk=keywords.get("visrank_topk", 10),
        )

    def save_model(self, epoch: int, rank1: float, save_dir: str, is_best: bool = False) -> None:
        """Save with rank-1 as a plain float, which torch loads without unpickling."""
        with whole_checkpoints(save_dir, self.leads) as folder:
            super().save_model(epoch, float(rank1), folder, is_best=is_best)
