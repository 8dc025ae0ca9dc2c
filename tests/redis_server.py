"""A real redis-server for tests, on a free loopback port, that can be stopped, killed and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from typing import Self


class RedisServer:
    """One server process without persistence: after `kill` and `start` it has lost its data, like a cache would."""

    def __init__(self, *, cluster: bool = False) -> None:
        self.cluster = cluster
        self.folder = tempfile.mkdtemp(prefix="redis-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                   "--dir", self.folder, "--loglevel", "warning"]  # fmt: skip
        if self.cluster:
            command += [
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                str(self._free()),
                "--cluster-require-full-coverage",
                "no",
            ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._await()
        if self.cluster:
            assert self.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383").startswith(b"+OK")
            for _ in range(200):
                if b"cluster_state:ok" in self.command("CLUSTER", "INFO"):
                    break
                time.sleep(0.02)
        return self

    @staticmethod
    def _free() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    def _await(self) -> None:
        for _ in range(500):
            with contextlib.suppress(OSError):
                if self.command("PING").startswith(b"+PONG"):
                    return
            time.sleep(0.01)
        raise RuntimeError("redis-server does not answer")

    def command(self, *words: str) -> bytes:
        """Send one command over a connection of its own, as RESP, and return the raw reply."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(request.encode())
            return connection.recv(1 << 20)

    def hang(self) -> None:
        """The server takes connections and answers nothing."""
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        os.kill(self._pid, signal.SIGCONT)

    def kill(self) -> None:
        """It dies without a word."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def _pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
