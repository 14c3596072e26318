"""Attacks that are learned once from training images and then applied to any image."""
