"""EvaluationMixin: torchreid's evaluation, exact and fast, with mINP and readable results."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.distances import Distance, FittedDistance, distance_of
from torchreid_adv.engines.defended import defend_tests
from torchreid_adv.engines.saving import whole_checkpoints
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation import Reranking, RetrievalResult, evaluate, evaluate_matrix
from torchreid_adv.evaluation.trials import evaluate_trials
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.features import Features
from torchreid_adv.registry import ENGINES, PROTOCOLS

if TYPE_CHECKING:
    Base: Any
else:
    Base = object


@ENGINES.register("evaluation", internal=True)
class EvaluationMixin(Base):
    """Evaluation that every adapted engine gets: same log lines, same numbers, less time.

    ``results`` maps the data set's name to the :class:`RetrievalResult` of its last evaluation. An
    engine that has an ``_evaluate`` of its own keeps it.
    """

    results: dict[str, RetrievalResult]
    adv_config: AdvConfig
    defense_draws: int
    leads = True  # of several processes that train together, the one that writes

    def adapt(self, cfg: AdvConfig) -> None:
        """Take the config; called once, when the engine is adapted.

        Raises:
            ConfigError: the distance or the defense of the evaluation cannot be built; said before
                training.
        """
        distance_of(cfg, lookup(cfg, "test.dist_metric", "euclidean"))
        self.adv_config = cfg
        self.results = {}
        self.defense_draws = defend_tests(self, cfg)

    def extract_features(self, input: Tensor) -> Tensor:
        """Return features, averaged over the draws of a defense where it has several."""
        if self.defense_draws == 1:
            features: Tensor = super().extract_features(input)
        else:
            features = super().extract_features(input.flatten(0, 1))
            features = features.unflatten(0, input.shape[:2]).mean(1)
        return features

    @torch.no_grad()
    def _evaluate(self, dataset_name: str = "", **keywords: Any) -> tuple[float, float]:
        """Print what torchreid prints, plus mINP, and return (rank-1, mAP).

        Args:
            dataset_name: the target.
            keywords: as torchreid's ``Engine._evaluate``.
        """
        stock = torchreid_module("engine.engine").Engine._evaluate
        own = super()._evaluate
        if getattr(own, "__func__", None) is not stock:
            return own(dataset_name=dataset_name, **keywords)
        distance = self._distance(**keywords)
        query = self._features(keywords["query_loader"], "query")
        gallery = self._features(keywords["gallery_loader"], "gallery")
        result, matrix = self._rank(query, gallery, distance, **keywords)
        self.results[dataset_name] = result
        print("** Results **")
        print(*result.lines(keywords.get("ranks", [1, 5, 10, 20])), sep="\n")
        if keywords.get("visrank"):
            self._draw_ranks(matrix, dataset_name, keywords)
        self.evaluated(dataset_name, {"query": query, "gallery": gallery}, distance, keywords)
        return result.rank(1), result.mAP

    def evaluated(
        self, name: str, sides: dict[str, Features], distance: Distance, keywords: dict[str, Any]
    ) -> None:
        """Do what a training mixin adds to the evaluation of a data set; nothing here.

        Args:
            name: the data set.
            sides: features of ``query`` and ``gallery``.
            distance: by which the gallery was ranked.
            keywords: of torchreid's ``Engine._evaluate``.
        """

    def _distance(self, **keywords: Any) -> Distance:
        """Return the distance of the keywords, one that is learned from the training images."""
        metric = keywords.get("dist_metric", "euclidean")
        normalize = keywords.get("normalize_feature", False)
        distance = distance_of(self.adv_config, metric, normalize=normalize)
        if keywords.get("rerank") and not distance.squared_euclidean:
            raise ConfigError(
                f"re-ranking finds neighbors by squared Euclidean distances, which '{metric}' is "
                "not; set test.rerank False or choose a registered distance"
            )
        if isinstance(distance, FittedDistance):
            train = self._features(self._train_loader(), "train")
            print(f"Fitting {distance.name} to {len(train)} training images ...")
            distance.fit(train.values, train.pids, train.camids)
        return distance

    def _train_loader(self) -> DataLoader[Any]:
        """Return the training images, in order and through the test transform."""
        stock = self.datamanager.train_loader
        images = copy.copy(getattr(stock.dataset, "images", stock.dataset))
        images.transform, images.k_tfm = self.datamanager.transform_te, 1
        return DataLoader(images, batch_size=stock.batch_size, num_workers=stock.num_workers)

    def _rank(
        self, query: Features, gallery: Features, distance: Distance, **keywords: Any
    ) -> tuple[RetrievalResult, Tensor | None]:
        own = getattr(getattr(keywords.get("gallery_loader"), "dataset", None), "protocol", "")
        if own:
            return self._by_protocol(own, query, gallery, distance, keywords), None
        metric = keywords.get("dist_metric", "euclidean")
        protocol = "cuhk03" if keywords.get("use_metric_cuhk03") else "market1501"
        rules: dict[str, Any] = {
            "ap_rule": self.adv_config.adv.evaluation.ap_rule,
            "protocol": protocol,
            "max_rank": max([50, *keywords.get("ranks", [])]),
        }
        print(f"Computing distance matrix with metric={metric} ...")
        backend = self.adv_config.adv.evaluation.neighbors
        rerank = Reranking(backend=backend) if keywords.get("rerank") else None
        if rerank:
            print("Applying person re-ranking ...")
        if not keywords.get("visrank"):
            print("Computing CMC and mAP ...")
            return evaluate(query, gallery, distance=distance, rerank=rerank, **rules), None
        if rerank:
            matrix = rerank.matrix(query, gallery, distance)
        else:
            matrix = distance(query.values, gallery.values)
        print("Computing CMC and mAP ...")
        sides = (query.pids, gallery.pids, query.camids, gallery.camids)
        return evaluate_matrix(matrix, *sides, **rules), matrix

    def _by_protocol(
        self,
        name: str,
        query: Features,
        gallery: Features,
        distance: Distance,
        keywords: dict[str, Any],
    ) -> RetrievalResult:
        """Rank as the data set's own protocol says."""
        if keywords.get("rerank") or keywords.get("visrank"):
            raise ConfigError(
                f"the protocol '{name}' ranks several drawn galleries; set test.rerank and "
                "test.visrank False"
            )
        print(f"Computing CMC and mAP by the protocol {name} ...")
        return evaluate_trials(
            query,
            gallery,
            PROTOCOLS.build(name),
            distance=distance,
            ap_rule=self.adv_config.adv.evaluation.ap_rule,
            max_rank=max([50, *keywords.get("ranks", [])]),
        )

    def _features(self, loader: Any, side: str) -> Features:
        print(f"Extracting features from {side} set ...")
        values, pids, camids = [], [], []
        names: list[Any] = []
        for data in loader:
            images, *labels = self.parse_data_for_eval(data)
            images = images.cuda() if self.use_gpu else images
            values.append(self.extract_features(images).cpu())
            pids.append(torch.as_tensor(labels[0]))
            camids.append(torch.as_tensor(labels[1]))
            names += data.get("impath") or range(len(names), len(names) + len(pids[-1]))
        features = Features(
            torch.cat(values).float(), torch.cat(pids), torch.cat(camids), tuple(map(str, names))
        )
        print(f"Done, obtained {len(features)}-by-{features.values.size(1)} matrix")
        return features

    def _draw_ranks(self, matrix: Tensor | None, name: str, keywords: dict[str, Any]) -> None:
        assert matrix is not None
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
        """Save with rank-1 as a plain float, which current torch reads back without unpickling."""
        with whole_checkpoints(save_dir) if self.leads else nullcontext(save_dir) as folder:
            super().save_model(epoch, float(rank1), folder, is_best=is_best)
