"""Image transforms for training and for attacks; what is random is drawn apart from its use."""
