"""Attacks that see features or ranks, and no gradients."""
