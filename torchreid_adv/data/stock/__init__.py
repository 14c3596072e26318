"""Readers of the layouts of torchreid's data set classes.

torchreid's classes keep their names and their handling of records; the records themselves are read
here, and checked against the files: every image is in the set or is reported.
    folders   identity and camera are in file and folder names
    splits    people are split at random into training and test, once; a file keeps the split
    listed    lists or MATLAB files assign images
    video     tracklets
"""
