"""A connection to a worker: shards, leases and events."""

from __future__ import annotations

import ctypes
import enum
import os
import select
import time
import weakref
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Optional, Union

from . import _library
from ._library import decode, encode
from ._memory import Connection, Memory
from .errors import AttachError
from .lease import Lease

VERSION = "0.1.0"
_MAX_POLL_SECONDS = 3600.0


class EventType(enum.Enum):
    """What an event says. Some come from the worker, and the last three from the client itself."""

    CORRUPT = 1  # the worker found damage in the shard: do not trust its bytes
    REPAIRED = 2  # the shard has its sealed bytes again
    SUPERSEDED = 3  # the shard has a new handle
    RELEASING = 4  # the worker releases the shard: give up all views before the deadline
    DRAINING = 5  # the worker shuts down
    VERIFIED = 6  # the worker verified the shard
    ORPHANED = 7  # the connection ended; the client reconnects
    RESUMED = 8  # the worker took the lease up again
    STALE = 9  # the worker no longer has this memory


@dataclass(frozen=True)
class Event:
    """An event. `lease` is None if it is about no lease, or about one whose object is gone or closed.

    `deadline_ms`: with RELEASING the time left, in milliseconds; otherwise 0.
    """

    type: EventType
    lease: Optional[Lease]
    shard_id: str
    deadline_ms: int


@dataclass(frozen=True)
class Worker:
    """A worker. `driver` is "cuda", "simulated" or "override". `boot_id` changes when the worker restarts."""

    worker_id: str
    boot_id: str
    driver: str
    simulated: bool
    connected: bool


@dataclass(frozen=True)
class Shard:
    """A shard that a worker has. `exportable` says whether it can be attached."""

    shard_id: str
    model_ref: str
    shard_index: int
    total_shards: int
    vram_bytes: int
    tree_digest: str
    state: str
    exportable: bool


class Client:
    """A connection to a worker. `connect()` returns it. Any thread may use it; its calls run one after another.

    A context manager. The connection outlives this object as long as a view of one of its leases exists.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection: Optional[Connection] = connection
        self._leases: weakref.WeakValueDictionary[int, Lease] = weakref.WeakValueDictionary()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    @property
    def worker(self) -> Worker:
        """The worker, as of the last connection."""
        info = self._open().worker()
        flags = (info.simulated != 0, info.connected != 0)
        return Worker(decode(info.worker_id), decode(info.boot_id), decode(info.driver), *flags)

    def shards(self, model_ref: Optional[str] = None, gpu_uuid: Optional[str] = None) -> list[Shard]:
        """The worker's shards: all, or those of a model or a device. Raises AttachError."""
        connection = self._open()
        shards: list[Shard] = []

        def visit(pointer: Any, _: Any) -> None:
            info = pointer.contents
            names = (decode(info.shard_id), decode(info.model_ref), info.shard_index, info.total_shards)
            more = (info.vram_bytes, decode(info.tree_digest), decode(info.state), info.exportable != 0)
            shards.append(Shard(*names, *more))

        error = _library.Error()
        filters = encode(model_ref, "model_ref"), encode(gpu_uuid, "gpu_uuid")
        callback = _library.Visit(visit)
        library = connection.library
        library.check(library.list(connection.pointer, *filters, callback, None, ctypes.byref(error)), error)
        return shards

    def attach(
        self,
        shard_id: Optional[str] = None,
        *,
        model_ref: Optional[str] = None,
        shard_index: int = 0,
        gpu_uuid: Optional[str] = None,
        expected_tree_digest: Optional[str] = None,
        max_age_seconds: int = 0,
        nonce: Optional[str] = None,
        label: Optional[str] = None,
    ) -> Lease:
        """Attaches a shard, by name or by model and index, and maps it read-only.

        `gpu_uuid`: the device that it must be on, as `nvidia-smi -L` prints it; None: any device of this process.
        `expected_tree_digest`: the fs-verity digest that it must have, "sha256:…".
        `max_age_seconds`: the worker first verifies the shard if its last verification is older; 0: never. That takes
        time: connect with a `timeout` to match.
        `nonce`: text that the receipt repeats. `label`: text for the worker's log.

        Raises RefusedError with the worker's code (`NOT_FOUND`, `NOT_EXPORTABLE`, `SHARD_CONFLICT` for a corrupt shard,
        `DIGEST_MISMATCH` and others), and AttachError with `DEVICE_NOT_FOUND`, `DESCRIPTORS_LOST` or another code.
        """
        return self._attach(
            shard_id, model_ref, shard_index, gpu_uuid, expected_tree_digest, max_age_seconds, nonce, label
        )

    def _attach(
        self,
        shard_id: Optional[str],
        model_ref: Optional[str],
        shard_index: int,
        gpu_uuid: Optional[str],
        expected_tree_digest: Optional[str],
        max_age_seconds: int,
        nonce: Optional[str],
        label: Optional[str],
        owns_client: bool = False,
    ) -> Lease:
        if (shard_id is None) == (model_ref is None):
            raise TypeError("attach() takes either shard_id or model_ref")
        connection = self._open()
        request = _library.Request(
            encode(shard_id, "shard_id"),
            encode(model_ref, "model_ref"),
            _unsigned(shard_index, "shard_index", 32),
            0,
            encode(gpu_uuid, "gpu_uuid"),
            encode(expected_tree_digest, "expected_tree_digest"),
            _unsigned(max_age_seconds, "max_age_seconds", 53),
            encode(nonce, "nonce"),
            encode(label, "label"),
        )
        out = ctypes.c_void_p()
        error = _library.Error()
        library = connection.library
        pointers = ctypes.byref(request), ctypes.byref(out), ctypes.byref(error)
        library.check(library.shard(connection.pointer, *pointers), error)
        assert out.value is not None
        lease = Lease(self, Memory(connection, out.value), shard_id or "", owns_client)
        self._leases[out.value] = lease
        return lease

    def fileno(self) -> int:
        """A descriptor that is readable when events() has work, for select, poll and event loops.

        It must be neither read nor closed. It is valid until the client and all views of its leases are gone.
        """
        connection = self._open()
        return int(connection.library.event_descriptor(connection.pointer))

    def events(self) -> list[Event]:
        """Takes the events that have arrived, without waiting.

        If the connection is down, this call also reconnects and resumes the leases, when that is due. A process that
        wants its leases to be resumed must therefore call it, or wait(), when fileno() is readable.
        """
        connection = self._open()
        library = connection.library
        events: list[Event] = []
        info = _library.EventInfo()
        while True:
            status = library.next_event(connection.pointer, ctypes.byref(info))
            if status == _library.NO_EVENT:
                return events
            library.check(status)
            lease = self._leases.get(info.lease) if info.lease else None
            lease = lease if lease is not None and not lease.closed else None
            # The library passes on only the types that this version of it knows.
            events.append(Event(EventType(info.type), lease, decode(info.shard_id), info.deadline_ms))

    def wait(self, timeout: Optional[float] = None) -> list[Event]:
        """Waits for events, at most `timeout` seconds (None: without end). Returns an empty list after the time."""
        connection = self._open()  # keeps the descriptor open
        poll = select.poll()
        poll.register(connection.library.event_descriptor(connection.pointer), select.POLLIN)
        end = None if timeout is None else time.monotonic() + max(timeout, 0)
        while True:
            left = _MAX_POLL_SECONDS if end is None else min(max(end - time.monotonic(), 0), _MAX_POLL_SECONDS)
            poll.poll(left * 1000)
            events = self.events()
            if events or (end is not None and time.monotonic() >= end):
                return events

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._connection is None

    def close(self) -> None:
        """Closes all leases and the connection. Both end when no view is left: see Lease.close(). Never waits."""
        leases, connection = list(self._leases.values()), self._connection
        self._connection = None
        if connection is None:
            return
        for lease in leases:
            lease.close()

    def _open(self) -> Connection:
        connection = self._connection
        if connection is None:
            raise AttachError("CLOSED", "the client is closed")
        return connection


def connect(
    socket: Union[str, os.PathLike[str], None] = None,
    *,
    driver: Union[str, os.PathLike[str], None] = None,
    token: Optional[str] = None,
    token_file: Union[str, os.PathLike[str], None] = None,
    timeout: float = 30.0,
    client_name: Optional[str] = None,
    library: Union[str, os.PathLike[str], None] = None,
) -> Client:
    """Connects to a worker on this host.

    `socket`: path of its socket; None: VRAM_ATTACH_SOCKET, else /run/vram-residency/attach.sock.
    `driver`: the CUDA driver, as dlopen() takes it; None: VRAM_ATTACH_DRIVER, else libcuda.so.1. For a simulated worker
    it is libcuda_sim.so, with a CUDA_SIM_DEVICES that has the worker's devices.
    `token`, `token_file`: the token that the worker may require, or a file with it; None: VRAM_ATTACH_TOKEN_FILE.
    `timeout`: longest wait for an answer, in seconds. `client_name`: name and version for the worker's log.
    `library`: libvram_attach.so.1; None: VRAM_ATTACH_LIBRARY, else the dynamic linker's search.

    Raises NotConnectedError, AttachTimeoutError, RefusedError (wrong user or token), and AttachError with
    `LIBRARY_NOT_FOUND`, `DRIVER_NOT_FOUND` or another code. Raises OSError if the token's file cannot be read.
    """
    loaded = _library.load(os.fspath(library) if library is not None else None)
    if not 0.001 <= timeout <= 4_000_000:
        raise ValueError(f"timeout is {timeout} seconds, which is out of range")
    options = _library.Options(
        encode(_setting(socket, "VRAM_ATTACH_SOCKET"), "socket"),
        encode(_setting(driver, "VRAM_ATTACH_DRIVER"), "driver"),
        encode(client_name or f"vram_residency-python/{VERSION}", "client_name"),
        encode(token if token is not None else _read_token(token_file), "token"),
        int(timeout * 1000),
        0,
    )
    out = ctypes.c_void_p()
    error = _library.Error()
    loaded.check(loaded.connect(ctypes.byref(options), ctypes.byref(out), ctypes.byref(error)), error)
    assert out.value is not None
    return Client(Connection(loaded, out.value))


def attach(
    shard_id: Optional[str] = None,
    *,
    model_ref: Optional[str] = None,
    shard_index: int = 0,
    gpu_uuid: Optional[str] = None,
    expected_tree_digest: Optional[str] = None,
    max_age_seconds: int = 0,
    nonce: Optional[str] = None,
    label: Optional[str] = None,
    **options: Any,
) -> Lease:
    """Connects and attaches one shard. The lease's end closes the connection.

    `options` are those of connect(), the others those of Client.attach(). Raises as both do.
    """
    client = connect(**options)
    try:
        return client._attach(
            shard_id, model_ref, shard_index, gpu_uuid, expected_tree_digest, max_age_seconds, nonce, label, True
        )
    except BaseException:
        client.close()
        raise


def _setting(value: Union[str, os.PathLike[str], None], variable: str) -> Optional[str]:
    return os.fspath(value) if value is not None else os.environ.get(variable) or None


def _read_token(path: Union[str, os.PathLike[str], None]) -> Optional[str]:
    setting = _setting(path, "VRAM_ATTACH_TOKEN_FILE")
    if setting is None:
        return None
    with open(setting, encoding="utf-8") as file:
        text = file.read(4096)
    return text[:-1] if text.endswith("\n") else text


def _unsigned(value: int, name: str, bits: int) -> int:
    if not 0 <= value < 2**bits:
        raise ValueError(f"{name} is {value}, which is out of range")
    return value
