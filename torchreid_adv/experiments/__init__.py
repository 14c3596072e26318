"""Experiments with many runs: papers' tables, studies, the zoo, scenarios, pictures."""
