"""What a paper's tables and figures need, one file per paper."""
