"""Formats of networks from elsewhere, one family a file; see :mod:`..loaders`."""
