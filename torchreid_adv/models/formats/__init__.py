"""Formats of networks from elsewhere, one family a file; see :mod:`torchreid_adv.models.loaders`."""
