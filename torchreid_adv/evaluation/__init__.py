"""Retrieval evaluation: ranking, scores and ranking lists."""

from torchreid_adv.evaluation.lists import topk
from torchreid_adv.evaluation.of_models import evaluate
from torchreid_adv.evaluation.protocol import Protocol, evaluate_matrix
from torchreid_adv.evaluation.rerank import Reranking
from torchreid_adv.evaluation.results import RetrievalResult

__all__ = ["Protocol", "Reranking", "RetrievalResult", "evaluate", "evaluate_matrix", "topk"]
