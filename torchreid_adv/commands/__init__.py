"""What the command line can do; each module composes one job."""
