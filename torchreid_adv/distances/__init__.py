"""Distances between features, for attacks and for evaluation."""

from torchreid_adv.distances.base import Distance
from torchreid_adv.distances.build import build_distance, distance_of, load_distance, save_distance
from torchreid_adv.distances.fitted import FittedDistance
from torchreid_adv.distances.function import FunctionDistance
from torchreid_adv.distances.kissme import KISSME
from torchreid_adv.distances.mahalanobis import LinearDistance, Mahalanobis
from torchreid_adv.distances.xqda import XQDA

__all__ = [
    "Distance",
    "FittedDistance",
    "FunctionDistance",
    "KISSME",
    "LinearDistance",
    "Mahalanobis",
    "XQDA",
    "build_distance",
    "distance_of",
    "load_distance",
    "save_distance",
]
