"""libvram_attach, loaded by ctypes: its structures and functions. clients/c/include/vram_attach.h documents them."""

from __future__ import annotations

import ctypes
import os
import threading
from ctypes import POINTER, c_char, c_char_p, c_int32, c_int64, c_uint8, c_uint32, c_uint64, c_void_p
from typing import Any, Optional

from .errors import AttachError, AttachTimeoutError, NotConnectedError, RefusedError

VERSION = 1
NAME = "libvram_attach.so.1"
# For a library in the default prefix of `make install`, before ldconfig has run.
FALLBACK = "/usr/local/lib/" + NAME

OK = 0
REFUSED = 6
NO_EVENT = 11


class Error(ctypes.Structure):
    _fields_ = [
        ("code", c_char * 64),
        ("detail", c_char * 448),
        ("driver_result", c_int32),
        ("retriable", c_uint32),
        ("retry_after_ms", c_uint64),
    ]


class Options(ctypes.Structure):
    _fields_ = [
        ("socket_path", c_char_p),
        ("driver_path", c_char_p),
        ("client_name", c_char_p),
        ("token", c_char_p),
        ("timeout_ms", c_uint32),
        ("reserved", c_uint32),
    ]


class WorkerInfo(ctypes.Structure):
    _fields_ = [
        ("worker_id", c_char_p),
        ("boot_id", c_char_p),
        ("driver", c_char_p),
        ("simulated", c_uint32),
        ("connected", c_uint32),
    ]


class ShardInfo(ctypes.Structure):
    _fields_ = [
        ("shard_id", c_char_p),
        ("model_ref", c_char_p),
        ("tree_digest", c_char_p),
        ("state", c_char_p),
        ("shard_index", c_uint32),
        ("total_shards", c_uint32),
        ("vram_bytes", c_uint64),
        ("exportable", c_uint32),
        ("reserved", c_uint32),
    ]


class Request(ctypes.Structure):
    _fields_ = [
        ("shard_id", c_char_p),
        ("model_ref", c_char_p),
        ("shard_index", c_uint32),
        ("reserved", c_uint32),
        ("gpu_uuid", c_char_p),
        ("expected_tree_digest", c_char_p),
        ("max_age_seconds", c_uint64),
        ("nonce", c_char_p),
        ("label", c_char_p),
    ]


class LeaseInfo(ctypes.Structure):
    _fields_ = [
        ("address", c_uint64),
        ("vram_bytes", c_uint64),
        ("mapped_bytes", c_uint64),
        ("device", c_int32),
        ("state", c_uint32),
        ("lease_id", c_char_p),
        ("allocation_id", c_char_p),
        ("handle", c_char_p),
        ("receipt", c_char_p),
    ]


class TensorRequest(ctypes.Structure):
    _fields_ = [
        ("offset", c_uint64),
        ("shape", POINTER(c_int64)),
        ("dimensions", c_int32),
        ("type_code", c_uint8),
        ("type_bits", c_uint8),
        ("versioned", c_uint8),
        ("reserved", c_uint8),
    ]


class EventInfo(ctypes.Structure):
    _fields_ = [
        ("type", c_uint32),
        ("reserved", c_uint32),
        ("lease", c_void_p),
        ("shard_id", c_char_p),
        ("deadline_ms", c_uint64),
    ]


Visit = ctypes.CFUNCTYPE(None, POINTER(ShardInfo), c_void_p)

_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "status_name": (c_char_p, [c_int32]),
    "version": (c_uint32, []),
    "connect": (c_int32, [POINTER(Options), POINTER(c_void_p), POINTER(Error)]),
    "close": (None, [c_void_p]),
    "get_worker": (c_int32, [c_void_p, POINTER(WorkerInfo)]),
    "list": (c_int32, [c_void_p, c_char_p, c_char_p, Visit, c_void_p, POINTER(Error)]),
    "shard": (c_int32, [c_void_p, POINTER(Request), POINTER(c_void_p), POINTER(Error)]),
    "get_lease": (c_int32, [c_void_p, POINTER(LeaseInfo)]),
    "read": (c_int32, [c_void_p, c_uint64, c_void_p, c_uint64, POINTER(Error)]),
    "release": (None, [c_void_p]),
    "export": (c_int32, [c_void_p, POINTER(TensorRequest), POINTER(c_void_p), POINTER(Error)]),
    "event_descriptor": (c_int32, [c_void_p]),
    "next_event": (c_int32, [c_void_p, POINTER(EventInfo)]),
}


class Library:
    """The functions of libvram_attach, without their prefix. ctypes gives up the interpreter's lock for each call."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = library["vram_attach_" + name]
            function.restype = result
            function.argtypes = arguments
            setattr(self, name, function)
        if self.version() != VERSION:
            raise AttachError("LIBRARY_NOT_FOUND", f"{path} has version {self.version()}, not {VERSION}")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def check(self, status: int, error: Optional[Error] = None) -> None:
        """Raises the exception of a status, unless it is OK."""
        if status == OK:
            return
        error = error if error is not None else Error()
        detail = error.detail.decode("utf-8", "replace")
        name: bytes = self.status_name(status)
        code = error.code.decode("utf-8", "replace") if status == REFUSED else name.decode()[len("VRAM_ATTACH_") :]
        kind = {REFUSED: RefusedError, 3: NotConnectedError, 4: AttachTimeoutError}.get(status, AttachError)
        raise kind(
            code,
            detail,
            retriable=error.retriable != 0,
            retry_after_ms=error.retry_after_ms,
            driver_result=error.driver_result,
        )


_lock = threading.Lock()
_loaded: dict[str, Library] = {}


def load(path: Optional[str] = None) -> Library:
    """Loads a library once. The default is VRAM_ATTACH_LIBRARY, else the linker's search, else /usr/local/lib."""
    given = path or os.environ.get("VRAM_ATTACH_LIBRARY")
    candidates = [given] if given else [NAME, FALLBACK]
    reasons = []
    with _lock:
        for candidate in candidates:
            try:
                if candidate not in _loaded:
                    _loaded[candidate] = Library(candidate)
                return _loaded[candidate]
            except (OSError, AttributeError) as error:
                reasons.append(str(error))
    hint = "install clients/c, or set VRAM_ATTACH_LIBRARY to its path"
    raise AttachError("LIBRARY_NOT_FOUND", f"{'; '.join(reasons)}: {hint}")


def encode(value: Optional[str], name: str) -> Optional[bytes]:
    """A string for the library. None means "not given"."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{name} contains a zero character")
    return value.encode("utf-8")


def decode(value: Optional[bytes]) -> str:
    """A string of the library."""
    return value.decode("utf-8", "replace") if value is not None else ""
