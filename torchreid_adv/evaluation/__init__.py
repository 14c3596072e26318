"""Retrieval evaluation: ranking, scores and ranking lists."""

from torchreid_adv.evaluation.of_models import evaluate
from torchreid_adv.evaluation.protocol import Protocol, evaluate_matrix
from torchreid_adv.evaluation.rerank import Reranking
from torchreid_adv.evaluation.result import RetrievalResult
from torchreid_adv.evaluation.topk import topk

__all__ = ["Protocol", "Reranking", "RetrievalResult", "evaluate", "evaluate_matrix", "topk"]
