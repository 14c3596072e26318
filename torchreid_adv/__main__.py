"""``python -m torchreid_adv``, and the console script."""

from torchreid_adv.core.faults import explained, say, with_streams


def entry() -> None:
    """Run the command line; also where the program itself does not fit into memory."""
    with_streams()
    try:
        from torchreid_adv.cli import entry as run
    except (ImportError, MemoryError, OSError, RuntimeError) as error:
        fault = explained(error)
        if not fault.sentence:
            raise
        say(fault.sentence)
        raise SystemExit(fault.code) from None
    run()


if __name__ == "__main__":
    entry()
