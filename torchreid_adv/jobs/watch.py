"""Connected processes that notice when one of them ends before the work does.

The first process has a connection to each of the others over which nothing is said while they
work. The system closes it when a process ends in whatever way, and not while one is only stopped
or slow; so a loss is known at once, and patience with slow processes costs nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch.distributed import Store

from torchreid_adv.errors import MachineError, printable
from torchreid_adv.jobs.faults import UNEXPECTED, explained, is_lost_connection

_GRACE = 3.0  # seconds in which the main thread may end by itself once a loss is known
_HELLO = 10.0  # seconds that a new connection has to say who it is
_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}
_LOST = "lost"


@dataclass(frozen=True)
class Loss:
    """Why the job cannot go on.

    Args:
        code: exit code of this process.
        sentence: what it says.
    """

    code: int
    sentence: str

    def error(self) -> MachineError:
        """Return it as an error that ends with the code."""
        error = MachineError(self.sentence)
        error.exit_code = self.code
        return error


@contextlib.contextmanager
def watched(store: Store, rank: int, world: int) -> Iterator[None]:
    """End this process, within seconds, when another one of the job ends before the block does.

    Args:
        store: in which all processes of the job have met.
        rank: of this process.
        world: number of processes.

    Raises:
        MachineError: another process ended; its code is that of the other where it ended by an
            error of its own. A process that is busy and cannot raise is ended with the same code.
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
        """Connect the first process with all others, and begin to watch."""
        if self._rank == 0:
            self._accept(store)
        else:
            token, port = store.get("watch").decode().split()
            peer = socket.create_connection((os.environ["MASTER_ADDR"], int(port)), _HELLO)
            peer.sendall(f"{token} {self._rank}\n".encode())
            self._add(peer, 0)
        threading.Thread(target=self._watch, daemon=True).start()

    def known_loss(self, patience: float) -> Loss | None:
        """Return why the job cannot go on, waiting some seconds for it to be known."""
        self._lost.wait(patience)
        return self._loss

    def close(self, code: int = 0, sentence: str = "") -> None:
        """Stop watching, and say how this process ends."""
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
                    said, rank = _line(peer).split()
                    if secrets.compare_digest(said, token):
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
            why = f"{who} ended without a word, as one does that is killed or runs out of memory"
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
    """Return what a process says as it ends; one that is gone says nothing."""
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
