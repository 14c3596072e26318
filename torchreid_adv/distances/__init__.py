"""Distances between features, for attacks and for evaluation."""

from torchreid_adv.distances.base import Distance, build_distance

__all__ = ["Distance", "build_distance"]
