"""The robustness card: attacks, corruptions, occlusion and people on one page for each model."""
