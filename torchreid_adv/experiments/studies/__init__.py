"""Studies: claims of papers, tested on models trained for them."""
