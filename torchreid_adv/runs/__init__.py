"""Attack one side of a data set, store the images (resumable), and score the stored images."""
