"""Your own data sets, without code: a list of images, folders, tracking sequences.

table      CSV, JSON lines, Parquet: rows with their line numbers
labels     names of identities and cameras, and their numbers
listed     the content of a row, checked
folder     one folder for each identity
mot        tracking sequences with gt.txt
crops      boxes, cropped once
sides      rows as train, query and gallery, checked against each other
classes    these as torchreid's data sets
entries    how such a set is named and registered
opened     a set, read
written    an adversarial data set as a list
"""

from torchreid_adv.data.own.entries import entry_of, registered, resolve

__all__ = ["entry_of", "registered", "resolve"]
