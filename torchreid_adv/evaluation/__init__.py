"""Retrieval evaluation: ranking, scores and ranking lists."""

from torchreid_adv.evaluation.lists import topk
from torchreid_adv.evaluation.of_models import evaluate
from torchreid_adv.evaluation.rerank import Reranking
from torchreid_adv.evaluation.results import RetrievalResult
from torchreid_adv.evaluation.retrieval import evaluate_matrix

__all__ = ["Reranking", "RetrievalResult", "evaluate", "evaluate_matrix", "topk"]
