"""Mixins that are added to torchreid engines at run time."""
