"""Attack one side of a data set, store it so that a kill loses nothing, score what is stored."""
