"""Use sealed shards of vram-residency in place, from another process on the same host.

    import vram_residency

    with vram_residency.connect("/run/vram-residency/attach.sock") as client:
        lease = client.attach("llama-0")
        weight = lease.tensors["model.embed_tokens.weight"].torch()

Nothing is copied, and the memory is read-only. numpy and torch are optional. README.md has the details.
"""

from .binding import Binding, bind
from .client import VERSION as __version__
from .client import Client, Event, EventType, Shard, Worker, attach, connect
from .dtypes import DType
from .errors import (
    AttachError,
    AttachTimeoutError,
    BindError,
    FormatError,
    NoSuchTensorError,
    NotConnectedError,
    RefusedError,
    TensorError,
)
from .formats import Header, TensorInfo, read_header
from .lease import Lease, LeaseState
from .tensor import Tensor, Tensors

__all__ = [
    "AttachError",
    "AttachTimeoutError",
    "BindError",
    "Binding",
    "Client",
    "DType",
    "Event",
    "EventType",
    "FormatError",
    "Header",
    "Lease",
    "LeaseState",
    "NoSuchTensorError",
    "NotConnectedError",
    "RefusedError",
    "Shard",
    "Tensor",
    "TensorError",
    "TensorInfo",
    "Tensors",
    "Worker",
    "__version__",
    "attach",
    "bind",
    "connect",
    "read_header",
]
