"""How the processes of a job find each other: torchrun's variables, checked, and a roll call."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from torch.distributed import PrefixStore, Store, TCPStore

from torchreid_adv.core.faults import UNEXPECTED, explained, is_lost_connection
from torchreid_adv.errors import ConfigError, MachineError, printable

MOST = 100_000  # largest number of processes, or shards, of a job
JOINING = timedelta(minutes=5)  # how long a process waits for the others
_PAUSE = 0.1  # seconds between two checks of who has come
_SHOWN = 8  # ranks named in an error


def place_in(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return rank and number of processes from torchrun's variables; (0, 1) if there are none.

    Args:
        environment: such as ``os.environ``.

    Raises:
        ConfigError: a variable is not a whole number, or the numbers contradict each other.
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
        ConfigError: LOCAL_RANK is not a whole number.
    """
    return _number(environment, "LOCAL_RANK", 0, MOST, "0")


def met(rank: int, world: int) -> Store:
    """Return the store through which the processes of a job talk, once all have come.

    Args:
        rank: rank of this process.
        world: number of processes.

    Raises:
        ConfigError: the address is invalid, two processes have the same rank, or processes
            disagree on their number.
        MachineError: some processes do not come within minutes.
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


_GRACE = 3.0  # seconds for the main thread to end by itself after a loss
_HELLO = 10.0  # seconds for a new connection to identify itself
_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}
_LOST = "lost"


@dataclass(frozen=True)
class Loss:
    """Why the job cannot continue.

    Args:
        code: exit code of this process.
        sentence: the message.
    """

    code: int
    sentence: str

    def error(self) -> MachineError:
        """Return an error with this exit code."""
        error = MachineError(self.sentence)
        error.exit_code = self.code
        return error


@contextlib.contextmanager
def watched(store: Store, rank: int, world: int) -> Iterator[None]:
    """End this process within seconds if another process of the job ends before the block.

    Args:
        store: the store in which all processes of the job have met.
        rank: rank of this process.
        world: number of processes.

    Raises:
        MachineError: another process ended; the exit code is that process's if it ended with an
            error. A process that is busy and cannot raise is ended with the same code.
    """
    watch = _Watch(rank, world)
    watch.connect(store)
    try:
        yield
    except BaseException as error:
        if is_lost_connection(error):
            loss = watch.known_loss(_GRACE) or Loss(
                MachineError.exit_code, "the connection to the other processes of this job broke"
            )
            watch.close(loss.code, loss.sentence)
            raise loss.error() from error
        fault = explained(error)
        code = MachineError.exit_code if fault.code == UNEXPECTED else fault.code
        watch.close(code, fault.sentence.removeprefix("error: ") or repr(error)[:200])
        raise
    watch.close()


class _Watch:
    def __init__(self, rank: int, world: int) -> None:
        self._rank, self._world = rank, world
        self._peers: dict[socket.socket, int] = {}
        self._loss: Loss | None = None
        self._lost, self._closed = threading.Event(), threading.Event()
        self._sending = threading.Lock()

    def connect(self, store: Store) -> None:
        """Connect the first process with all others, and start watching."""
        if self._rank == 0:
            self._accept(store)
        else:
            token, port = store.get("watch").decode().split()
            peer = socket.create_connection((os.environ["MASTER_ADDR"], int(port)), _HELLO)
            peer.sendall(f"{token} {self._rank}\n".encode())
            self._add(peer, 0)
        threading.Thread(target=self._watch, daemon=True).start()

    def known_loss(self, patience: float) -> Loss | None:
        """Return why the job cannot continue; wait some seconds for the reason."""
        self._lost.wait(patience)
        return self._loss

    def close(self, code: int = 0, sentence: str = "") -> None:
        """Stop watching, and tell the others how this process ends."""
        self._closed.set()
        self._say({"code": code, "sentence": sentence, "rank": self._rank})

    def _accept(self, store: Store) -> None:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        with socket.create_server(("", 0), family=family, dualstack_ipv6=both) as server:
            token = secrets.token_hex(16)
            store.set("watch", f"{token} {server.getsockname()[1]}")
            server.settimeout(_HELLO * 3)
            while len(self._peers) < self._world - 1:
                peer, _ = server.accept()
                peer.settimeout(_HELLO)
                with contextlib.suppress(OSError, ValueError):
                    given_token, rank = _line(peer).split()
                    if secrets.compare_digest(given_token, token):
                        self._add(peer, int(rank))
                        continue
                peer.close()

    def _add(self, peer: socket.socket, rank: int) -> None:
        peer.settimeout(None)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, seconds in _KEEP_ALIVE.items():
            if hasattr(socket, name):
                peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
        self._peers[peer] = rank

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            for peer in self._peers:
                selector.register(peer, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    connection: Any = key.fileobj
                    message = _message(connection, self._peers[connection])
                    selector.unregister(connection)
                    if message["code"] and not self._closed.is_set():
                        self._give_up(message)
                        return

    def _give_up(self, message: dict[str, Any]) -> None:
        code, sentence = int(message["code"]), printable(str(message["sentence"]))
        who = f"process {int(message['rank'])} of {self._world}"
        if sentence == _LOST:
            why = f"{who} ended without a message; it was probably killed, or ran out of memory"
        else:
            why = f"{who} ended: {sentence}"
        self._loss = Loss(code, f"{why}. What was finished is kept: run the same command again")
        if self._rank == 0:
            self._say(message)
        self._lost.set()
        if self._closed.wait(_GRACE):
            return
        with contextlib.suppress(Exception):
            print(f"error: {self._loss.sentence}", file=sys.stderr, flush=True)
        os._exit(code)

    def _say(self, message: dict[str, Any]) -> None:
        content = json.dumps(message).encode() + b"\n"
        with self._sending:
            for peer in self._peers:
                with contextlib.suppress(OSError):
                    peer.sendall(content)


def _message(peer: socket.socket, rank: int) -> dict[str, Any]:
    """Return the last message of a process; empty if it is gone."""
    try:
        content = json.loads(_line(peer))
    except (OSError, ValueError):
        content = None
    if isinstance(content, dict) and {"code", "sentence", "rank"} <= content.keys():
        return content
    return {"code": MachineError.exit_code, "sentence": _LOST, "rank": rank}


def _line(peer: socket.socket) -> str:
    content = b""
    while not content.endswith(b"\n"):
        part = peer.recv(1 if len(content) < 64 else 4096)
        if not part or len(content) > 2**16:
            raise OSError("the connection ended")
        content += part
    return content.decode()
