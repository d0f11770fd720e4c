"""Starts simulated workers, and makes model files for them."""

from __future__ import annotations

import json
import mmap
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Optional

import vram_residency

ROOT = Path(__file__).resolve().parents[3]
DRIVER = ROOT / "cuda" / "build" / "libcuda_sim.so"
LIBRARY = ROOT / "clients" / "c" / "build" / "libvram_attach.so.1"
UUIDS = [f"GPU-73696d75-6c61-7465-642d-6770750000{number:02x}" for number in range(2)]
DEVICES = "256MiB,256MiB"

# The simulator of this process. It must have the devices of the workers.
os.environ.setdefault("CUDA_SIM_DEVICES", DEVICES)
os.environ.setdefault("CUDA_SIM_ENGINE", "fast")
os.environ["VRAM_ATTACH_DRIVER"] = str(DRIVER)
os.environ["VRAM_ATTACH_LIBRARY"] = str(LIBRARY)


def until(condition: Any, message: str, seconds: float = 100) -> Any:
    """Waits for a condition. Returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"still not true: {message}")
        time.sleep(0.01)


class Worker:
    """A simulated worker with an attach socket."""

    def __init__(self, keeper: bool = False, **env: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="vram-python-"))
        self.socket = self.directory / "attach.sock"
        self._env = env
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._keeper: Optional[subprocess.Popen[bytes]] = None
        if keeper:
            self._start_keeper()
        self.start()

    def _start_keeper(self) -> None:
        """Starts the process that keeps memory while the worker restarts."""
        token = self.directory / "keeper-token"
        token.write_text("k" * 43)
        token.chmod(0o600)
        keeper = {
            "WORKER_KEEPER_SOCKET": str(self.directory / "keeper.sock"),
            "WORKER_KEEPER_TOKEN_FILE": str(token),
        }
        self._env |= {**keeper, "WORKER_MANIFEST": str(self.directory / "manifest.json")}
        self._keep = ["node", str(ROOT / "dist" / "main.cjs"), "keep"]
        self._keep_env = {"PATH": os.environ["PATH"], **keeper}
        quiet = subprocess.DEVNULL
        self._keeper = subprocess.Popen(self._keep, env=self._keep_env, stdin=quiet, stdout=quiet, stderr=quiet)
        until(lambda: Path(keeper["WORKER_KEEPER_SOCKET"]).exists(), "the keeper listens")

    def start(self) -> None:
        """Starts the process, and waits until it listens."""
        env = {
            "PATH": os.environ["PATH"],
            "CUDA_SIM_DEVICES": DEVICES,
            "CUDA_SIM_ENGINE": "fast",
            "WORKER_BIND_ADDR": "127.0.0.1:0",
            "WORKER_ATTACH_SOCKET": str(self.socket),
            **{name: value.format(directory=self.directory) for name, value in self._env.items()},
        }
        log = open(self.directory / "log", "wb+")
        command = ["node", str(ROOT / "dist" / "main.cjs"), "serve", "--simulate"]
        self._process = subprocess.Popen(
            command, cwd=self.directory, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        log.close()
        self._url = until(self._find_url, "the worker listens")

    def is_kept(self, allocation_id: str) -> bool:
        """Whether the keeper has some memory."""
        listed = subprocess.run([*self._keep, "--list"], env=self._keep_env, capture_output=True, text=True, check=True)
        return allocation_id in listed.stdout

    def _find_url(self) -> Optional[str]:
        text = (self.directory / "log").read_text("utf-8", "replace")
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the worker ended: {text}")
        found = re.search(r"docs +(http\S+)/docs", text)
        return found.group(1) if found else None

    def request(self, method: str, path: str, body: Optional[bytes] = None) -> Any:
        """Sends a request. Returns the JSON of its answer, or raises urllib.error.HTTPError."""
        request = urllib.request.Request(self._url + path, data=body, method=method)
        token = (self.directory / ".worker" / "token").read_text().strip()
        request.add_header("authorization", f"Bearer {token}")
        request.add_header("content-type", "application/octet-stream" if method == "PUT" else "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def commit(self, shard_id: str, content: bytes, **query: str) -> None:
        """Puts a shard on the first device."""
        fields = {"shard_id": shard_id, "model_ref": shard_id, "gpu_device": "0", **query}
        text = "&".join(f"{key}={value}" for key, value in fields.items())
        self.request("PUT", f"/v1/commit?{text}", content)

    def damage(self, content: bytes) -> None:
        """Changes a byte of the simulated memory that has some content. Needs CUDA_SIM_DIR={directory}."""
        for file in self.directory.glob("gpu*.vram"):
            with open(file, "r+b") as opened, mmap.mmap(opened.fileno(), 0) as memory:
                found = memory.find(content)
                if found >= 0:
                    memory[found] ^= 1
                    return
        raise AssertionError("no simulated memory has the content")

    def leases(self) -> int:
        """The number of leases that have not ended."""
        return len(self.request("GET", "/v1/leases")["leases"])

    def connect(self, **options: Any) -> vram_residency.Client:
        return vram_residency.connect(self.socket, **options)

    def kill(self) -> None:
        """Ends the worker by SIGKILL. Its socket's file stays."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        self.kill()
        if self._keeper is not None:
            self._keeper.kill()
            self._keeper.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def safetensors(
    tensors: dict[str, tuple[str, list[int], bytes]], metadata: Optional[dict[str, str]] = None, shift: int = 0
) -> bytes:
    """A safetensors file. Its data begin `shift` bytes after a multiple of 8."""
    members: dict[str, Any] = {"__metadata__": metadata} if metadata is not None else {}
    data = b""
    for name, (dtype, shape, content) in tensors.items():
        members[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    header = json.dumps(members).encode()
    header += b" " * (-len(header) % 8 + shift)
    return len(header).to_bytes(8, "little") + header + data


def gguf(
    tensors: dict[str, tuple[int, list[int], bytes]], keys: Optional[dict[str, bytes]] = None, alignment: int = 32
) -> bytes:
    """A GGUF file. A tensor has a type, dimensions (the fastest first) and bytes; a key its type and value, encoded."""
    infos, data = b"", b""
    for name, (kind, dimensions, content) in tensors.items():
        data += b"\0" * (-len(data) % alignment)
        infos += gguf_string(name) + struct.pack("<I", len(dimensions))
        infos += struct.pack(f"<{len(dimensions)}QIQ", *dimensions, kind, len(data))
        data += content
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys or {}))
    for key, value in (keys or {}).items():
        header += gguf_string(key) + value
    header += infos
    return header + b"\0" * (-len(header) % alignment) + data


def gguf_string(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content
