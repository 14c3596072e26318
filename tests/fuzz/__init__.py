"""Hostile and broken inputs: images, configs, checkpoints, names, words in the report.

Every input is drawn from a fixed seed. A plain ``pytest`` runs a few of each kind; all of them::

    python -m pytest tests/fuzz -m "slow or not slow"

The end of the output says how many of each kind were tried and what became of them. An image or a
checkpoint is read in another process, so that a hang, a crash or a full memory is an outcome and
not the end of the tests.
"""
