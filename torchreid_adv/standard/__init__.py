"""The standard evaluation: one ensemble of attacks, one number, and flags where it is not sound."""
