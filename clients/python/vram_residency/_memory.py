"""What holds a connection and a mapping: the last object that refers to one of them ends it."""

from __future__ import annotations

import ctypes
import os
import sys
import weakref
from typing import Any, NoReturn, Optional, SupportsIndex

from . import _library
from ._library import Library
from .errors import AttachError, TensorError


def finalize(target: object, function: Any, *arguments: Any) -> None:
    """Runs a function when an object is gone, but not when the interpreter exits: the process's end ends its leases."""
    weakref.finalize(target, function, *arguments).atexit = False


class _OfThisProcess:
    """An object that owns something of the library: a copy of it would own nothing, and not keep it."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("leases, their tensors and clients cannot be pickled or copied: call attach() again")


class Connection(_OfThisProcess):
    """A client of libvram_attach. Leases keep it alive."""

    def __init__(self, library: Library, pointer: int) -> None:
        self.library = library
        self._pointer = pointer
        self._process = os.getpid()
        finalize(self, library.close, pointer)
        worker = self.worker()
        # Memory of a simulated device is the host's.
        self.is_host_memory = worker.simulated != 0

    @property
    def pointer(self) -> int:
        """Raises AttachError in a child process, where the library would only say that an argument is invalid."""
        if os.getpid() != self._process:
            raise AttachError("FORKED", "the connection belongs to the parent process: call connect() in this one")
        return self._pointer

    def worker(self) -> _library.WorkerInfo:
        info = _library.WorkerInfo()
        self.library.check(self.library.get_worker(self.pointer, ctypes.byref(info)))
        return info


class Memory(_OfThisProcess):
    """The mapping of a lease. Every view of its bytes refers to this object, or has a reference in the library."""

    def __init__(self, connection: Connection, lease: int) -> None:
        self.connection = connection
        self.lease = lease
        self._capsules: list[Any] = []
        finalize(self, _end, connection, lease, self._capsules)
        info = self.info()
        self.address: int = info.address
        self.nbytes: int = info.vram_bytes
        self.device: int = info.device
        self.lease_id = _library.decode(info.lease_id)
        self.allocation_id = _library.decode(info.allocation_id)

    def info(self) -> _library.LeaseInfo:
        info = _library.LeaseInfo()
        _ = self.connection.pointer
        library = self.connection.library
        library.check(library.get_lease(self.lease, ctypes.byref(info)))
        return info

    def check_range(self, offset: int, nbytes: int) -> None:
        if offset < 0 or nbytes < 0 or offset + nbytes > self.nbytes:
            raise IndexError(f"bytes {offset} to {offset + nbytes} are not in the shard, which has {self.nbytes} bytes")

    def read(self, offset: int, nbytes: int) -> bytes:
        """Copies bytes to the host, on a GPU as well."""
        self.check_range(offset, nbytes)
        _ = self.connection.pointer
        buffer = ctypes.create_string_buffer(nbytes) if nbytes > 0 else ctypes.create_string_buffer(1)
        error = _library.Error()
        library = self.connection.library
        library.check(library.read(self.lease, offset, buffer, nbytes, ctypes.byref(error)), error)
        return ctypes.string_at(buffer, nbytes)

    def bytes_at(self, offset: int, nbytes: int) -> Any:
        """A ctypes array over host memory, which keeps this object. Python can write to it: the MMU refuses that."""
        if not self.connection.is_host_memory:
            self._fail_on_device()
        self.check_range(offset, nbytes)
        array: Any = (ctypes.c_ubyte * nbytes).from_address(self.address + offset)
        array.memory = self
        return array

    def export(self, offset: int, shape: tuple[int, ...], code: int, bits: int, versioned: bool) -> Any:
        """A DLPack capsule. What it describes has a reference to the lease in the library, not to this object."""
        _ = self.connection.pointer
        extents = (ctypes.c_int64 * max(len(shape), 1))(*shape)
        request = _library.TensorRequest(offset, extents, len(shape), code, bits, int(versioned), 0)
        out = ctypes.c_void_p()
        error = _library.Error()
        library = self.connection.library
        library.check(library.export(self.lease, ctypes.byref(request), ctypes.byref(out), ctypes.byref(error)), error)
        drop_unused(self._capsules)
        capsule = _new_capsule(out, _NAMES[versioned], None)
        self._capsules.append(capsule)
        return capsule

    def _fail_on_device(self) -> NoReturn:
        raise TensorError("NOT_HOST_MEMORY", "the memory of a GPU cannot be read by the CPU: use torch() or read()")


def _end(connection: Connection, lease: int, capsules: list[Any]) -> None:
    drop_unused(capsules)
    connection.library.release(lease)


# A capsule has no destructor: Python code must not run in one, because an exception can be on its way. Instead, a
# capsule that no library has taken, and that only this module refers to, is found later.
_NAMES = {False: b"dltensor", True: b"dltensor_versioned"}
# For each: the offset of `deleter` in DLManagedTensor and DLManagedTensorVersioned.
_DELETER_OFFSETS = {b"dltensor": 56, b"dltensor_versioned": 16}

_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_set_name = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_SetName", ctypes.pythonapi))
_USED = b"used_dltensor"


def _unused_name(capsule: Any) -> Optional[bytes]:
    return next((name for name in _NAMES.values() if _is_valid(capsule, name)), None)


def drop_unused(capsules: list[Any]) -> None:
    """Deletes the tensors of capsules that no library has taken or can take. Forgets those that were taken."""
    kept = []
    probe = object()
    while capsules:
        capsule = capsules.pop()
        name = _unused_name(capsule)
        if name is None:
            continue
        # Only this function refers to the other object.
        if sys.getrefcount(capsule) > sys.getrefcount(probe):
            kept.append(capsule)
            continue
        pointer = _get_pointer(capsule, name)
        _set_name(capsule, _USED)
        deleter = ctypes.c_void_p.from_address(pointer + _DELETER_OFFSETS[name]).value
        if deleter is not None:
            ctypes.CFUNCTYPE(None, ctypes.c_void_p)(deleter)(pointer)
    capsules.extend(kept)
