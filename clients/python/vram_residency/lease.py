"""A lease: a shard that this process has attached."""

from __future__ import annotations

import base64
import enum
import json
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional

from . import _library
from ._memory import Memory
from .dtypes import U8
from .errors import AttachError
from .formats import Header, TensorInfo, read_header
from .tensor import Tensor, Tensors

if TYPE_CHECKING:
    from .client import Client


class LeaseState(enum.Enum):
    """State of a lease."""

    ACTIVE = 0  # the worker knows the lease
    ORPHANED = 1  # the connection is down; the memory is readable, and the client tries to resume
    STALE = 2  # the worker no longer has this memory; it is readable until the last view is gone
    CLOSED = 3  # close() was called


class Lease:
    """A sealed shard, mapped read-only into this process. `Client.attach()` and `attach()` return it.

    A context manager: `with client.attach("llama-0") as lease`. The memory outlives close(), the worker and this object
    as long as a view of it exists. A view is a Tensor, a Tensors, or an array made from one. The lease ends, and the
    memory is unmapped, when the last view is gone.

    Any thread may use a lease. A child process can read views on the simulator, and must connect for all else.
    """

    def __init__(self, client: Client, memory: Memory, shard_id: str, owns_client: bool = False) -> None:
        self._client = client
        self._memory: Optional[Memory] = memory
        self._owns_client = owns_client
        self._header: Optional[Header] = None
        claims = claims_of(_library.decode(memory.info().receipt))
        self._shard_id = shard_id or str(claims.get("shard_id", ""))

    def __repr__(self) -> str:
        return f"<Lease of {self._shard_id!r}{' (closed)' if self.closed else ''}>"

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    @property
    def client(self) -> Client:
        """The client that attached the shard."""
        return self._client

    @property
    def shard_id(self) -> str:
        """The shard's name."""
        return self._shard_id

    @property
    def lease_id(self) -> str:
        """The worker's name of the lease."""
        return self._open().lease_id

    @property
    def allocation_id(self) -> str:
        """The worker's name of the memory. It survives a restart of the worker."""
        return self._open().allocation_id

    @property
    def address(self) -> int:
        """Device address of the first byte. Only a view keeps it valid."""
        return self._open().address

    @property
    def nbytes(self) -> int:
        """Bytes of the shard."""
        return self._open().nbytes

    @property
    def device(self) -> int:
        """CUDA ordinal of the device in this process."""
        return self._open().device

    @property
    def state(self) -> LeaseState:
        """The state as of the last event that was taken. `Client.events()` updates it."""
        memory = self._memory
        return LeaseState(memory.info().state) if memory is not None else LeaseState.CLOSED

    @property
    def handle(self) -> str:
        """The shard's handle, a compact JWS. It changes if the shard is sealed again or the lease is resumed."""
        return _library.decode(self._open().info().handle)

    @property
    def receipt(self) -> str:
        """The lease's receipt, a compact JWS. It changes if the lease is resumed."""
        return _library.decode(self._open().info().receipt)

    @property
    def receipt_claims(self) -> dict[str, Any]:
        """The claims of the receipt. Its signature is not checked: the worker's key is not here."""
        return claims_of(self.receipt)

    @property
    def tensors(self) -> Tensors:
        """The tensors of a safetensors or GGUF file. Raises FormatError if the shard is neither.

        The first use reads the file's header, and checks that each tensor is inside the shard.
        """
        memory = self._open()
        if self._header is None:
            self._header = read_header(memory.read, memory.nbytes)
        return Tensors(memory, self._header)

    def tensor(self, name: str) -> Tensor:
        """A tensor by name. Raises NoSuchTensorError, or FormatError if the shard is no model file."""
        return self.tensors[name]

    def raw(self, offset: int = 0, nbytes: Optional[int] = None) -> Tensor:
        """Bytes of the shard as a tensor of type U8, for files of other formats. Raises IndexError.

        `offset` counts bytes from the start of the shard. Without `nbytes` the tensor ends with the shard.
        """
        memory = self._open()
        count = memory.nbytes - offset if nbytes is None else nbytes
        memory.check_range(offset, count)
        return Tensor(memory, TensorInfo("", U8, (count,), offset, count))

    def read(self, offset: int = 0, nbytes: Optional[int] = None) -> bytes:
        """A copy of bytes on the host, on a GPU as well. Raises IndexError, and AttachError if the driver fails."""
        return self.raw(offset, nbytes).read()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._memory is None

    def close(self) -> bool:
        """Ends the use of the lease by this object. Never waits, and can be called again.

        Returns whether the lease has ended. If views exist, it returns False, and the lease ends when the last one is
        gone, so that no view can ever read unmapped memory. The return value does not know tensors that a library took
        by DLPack, but they keep the memory as other views do.
        """
        memory, self._memory, self._header = self._memory, None, None
        reference = weakref.ref(memory) if memory is not None else None
        del memory
        if self._owns_client:
            self._client.close()
        return reference is None or reference() is None

    def _open(self) -> Memory:
        memory = self._memory
        if memory is None:
            raise AttachError("CLOSED", f"the lease of {self._shard_id!r} is closed")
        return memory


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a compact JWS, or an empty dict if it is not one."""
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
