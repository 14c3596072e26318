"""How the processes of a job find each other: torchrun's variables, checked, and a roll call."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from datetime import timedelta

from torch.distributed import PrefixStore, Store, TCPStore

from torchreid_adv.errors import ConfigError, MachineError, printable

MOST = 100_000  # processes, or shards, of a job
JOINING = timedelta(minutes=5)  # for which a process waits for the others to come
_PAUSE = 0.1  # seconds between two looks at who has come
_SHOWN = 8  # ranks that a sentence names


def place_in(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return rank and number of processes from torchrun's variables; (0, 1) where there are none.

    Args:
        environment: such as ``os.environ``.

    Raises:
        ConfigError: a variable that is no whole number, or numbers that do not fit together.
    """
    if "RANK" not in environment:
        return 0, 1
    world = _number(environment, "WORLD_SIZE", 1, MOST, "1")
    rank = _number(environment, "RANK", 0, MOST)
    if rank >= world:
        raise ConfigError(
            f"RANK is {rank} and WORLD_SIZE is {world}: the processes of n are 0 to n - 1; start "
            "them by torchrun, which sets both"
        )
    return rank, world


def local_rank(environment: Mapping[str, str]) -> int:
    """Return this process's number on its machine.

    Raises:
        ConfigError: LOCAL_RANK is no whole number.
    """
    return _number(environment, "LOCAL_RANK", 0, MOST, "0")


def met(rank: int, world: int) -> Store:
    """Return the store through which the processes of a job talk, once all of them are there.

    Args:
        rank: of this process.
        world: number of processes.

    Raises:
        ConfigError: an address that cannot be one, two processes of one rank, or processes that
            count differently.
        MachineError: some do not come within minutes.
    """
    host, port = _address()
    by_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        tcp = TCPStore(
            host,
            port,
            is_master=rank == 0 and not by_agent,
            timeout=JOINING,
            wait_for_workers=False,
        )
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"torchreid_adv/{attempt}", tcp)
        _call_roll(store, rank, world)
    except RuntimeError as error:  # torch's network errors
        raise MachineError(_unmet(rank, world, f"{host}:{port}", error)) from error
    return store


def _call_roll(store: Store, rank: int, world: int) -> None:
    if store.add(f"count/{rank}", 1) > 1:
        raise ConfigError(f"two processes of this job have RANK {rank}; start them by torchrun")
    store.set(f"world/{rank}", str(world))
    missing, deadline = list(range(world)), time.monotonic() + JOINING.total_seconds()
    while missing:
        while missing and store.check([f"world/{missing[-1]}"]):
            other = missing.pop()
            their_world = int(store.get(f"world/{other}"))
            if their_world != world:
                raise ConfigError(
                    f"WORLD_SIZE is {world} for process {rank} and {their_world} for process "
                    f"{other}; it is the same for all processes of a job"
                )
        if missing and time.monotonic() > deadline:
            raise MachineError(_absent(store, missing, world))
        time.sleep(_PAUSE if missing else 0)


def _absent(store: Store, missing: list[int], world: int) -> str:
    absent = [str(rank) for rank in sorted(missing) if not store.check([f"world/{rank}"])]
    named = ", ".join(absent[:_SHOWN]) + (", ..." if len(absent) > _SHOWN else "")
    return (
        f"{len(absent)} of {world} processes of this job did not come within "
        f"{JOINING.total_seconds() / 60:g} minutes (ranks {named}); start as many as WORLD_SIZE "
        "says, all with the same MASTER_ADDR and MASTER_PORT"
    )


def _unmet(rank: int, world: int, address: str, error: RuntimeError) -> str:
    reason = printable(str(error).splitlines()[0][:200])
    if rank == 0 and "EADDRINUSE" in str(error):
        return f"MASTER_PORT: {address} is used by another program; choose another port ({reason})"
    return (
        f"process {rank} of {world} cannot reach the first one at MASTER_ADDR and MASTER_PORT "
        f"({address}); did that one start, and not end? ({reason})"
    )


def _address() -> tuple[str, int]:
    host = os.environ.get("MASTER_ADDR", "")
    port = _number(os.environ, "MASTER_PORT", 1, 65535)
    try:
        socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        host = f"{host}: {error}"
    else:
        if host:
            return host, port
    raise ConfigError(
        "MASTER_ADDR is the name or address of the machine on which process 0 runs; got "
        f"'{printable(host)}'"
    )


def _number(
    environment: Mapping[str, str], name: str, low: int, high: int, default: str = ""
) -> int:
    text = environment.get(name, default).strip()
    if text.isascii() and text.isdecimal() and len(text) <= len(str(high)):
        number = int(text)
        if low <= number <= high:
            return number
    raise ConfigError(
        f"{name} is a whole number from {low} to {high}, got '{printable(text[:40])}'; start the "
        "processes by torchrun, which sets it"
    )
