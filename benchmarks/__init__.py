"""Ours, a peer and the floor, measured in one run."""
