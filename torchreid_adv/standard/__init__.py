"""The standard evaluation: a fixed ensemble of attacks, one number, and flags if it is unsound."""
