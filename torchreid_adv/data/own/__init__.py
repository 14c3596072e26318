"""Data sets of the user's own, without code: a list of images, folders, tracking sequences.

table      CSV, JSON lines, Parquet: rows with their line
labels     words for identities and cameras, and their numbers
listed     what a row says, checked
folder     one folder for each identity
mot        tracking sequences with gt.txt
crops      boxes, cut once
sides      rows as train, query and gallery, checked against each other
classes    these as torchreid's data sets
entries    how such a set is named, and registered
written    an adversarial data set as a list
"""

from torchreid_adv.data.own.entries import entry_of, registered, resolve

__all__ = ["entry_of", "registered", "resolve"]
