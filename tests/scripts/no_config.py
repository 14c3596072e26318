"""A script without a config tree."""


def main():
    raise AssertionError("the launcher should have refused")
