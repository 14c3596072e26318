"""Methods of robust training: one published method per file."""
