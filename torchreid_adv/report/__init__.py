"""What a run says for itself: report.html and the figures beside it."""
