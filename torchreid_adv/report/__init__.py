"""The parts of a report: report.html and its figures."""
