"""Readers of the layouts that torchreid's own data set classes have.

Torchreid's classes keep their names and all that they do with the records; which records there are
is read here, and checked against the files: every image is in the set or is named.

    folders   identity and camera stand in file and folder names
    splits    people are drawn for training or test, once, and kept in a split file
    listed    lists or MATLAB files say what belongs where
    video     tracklets
"""
