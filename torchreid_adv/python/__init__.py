"""What commands do, as functions of Python: the same code, results as values."""
