"""Image transforms for training and attacks; random draws are separate from their use."""
