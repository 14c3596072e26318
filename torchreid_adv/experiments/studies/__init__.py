"""Studies: what papers claim, each tested on models trained for it."""
