"""Mixins that torchreid engines are given at run time."""
