"""Attacks that use features or ranks, but no gradients."""
