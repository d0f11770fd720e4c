"""What the formats share: the bytes of a header, and the checks of the tensors that it names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Mapping

from ..dtypes import DType
from ..errors import FormatError

Read = Callable[[int, int], bytes]

MAX_DIMENSIONS = 32  # of numpy before 2.0
MAX_INT64 = 2**63 - 1
_FIRST_READ_BYTES = 1 << 16


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a file. `offset` counts bytes from the start of the file, and `shape` is in row-major order."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True)
class Header:
    """The header of a file. `format` is "safetensors" or "gguf". `tensors` is in the order of the file."""

    format: str
    metadata: Mapping[str, Any] = field(repr=False)
    tensors: Mapping[str, TensorInfo] = field(repr=False)


class HeaderReader:
    """Reads a file from its start, as far as the header needs. `limit` is the largest header that it accepts."""

    def __init__(self, read: Read, nbytes: int, limit: int = 256 << 20) -> None:
        self.nbytes = nbytes
        self.limit = limit
        self.buffer = bytearray()
        self._read = read

    def need(self, end: int) -> None:
        """Makes the bytes before `end` available in `buffer`."""
        if end <= len(self.buffer):
            return
        if end > self.nbytes:
            raise FormatError(f"the header has {end} bytes or more, but the file has {self.nbytes}")
        if end > self.limit:
            raise FormatError(f"the header has more than {self.limit} bytes")
        start = len(self.buffer)
        target = min(max(end, 2 * start, _FIRST_READ_BYTES), self.nbytes, max(self.limit, end))
        self.buffer += self._read(start, target - start)

    def peek(self, count: int) -> bytes:
        """The first bytes of the file."""
        self.need(count)
        return bytes(self.buffer[:count])


def checked_nbytes(name: str, dtype: DType, shape: tuple[int, ...]) -> int:
    """The bytes that a tensor takes. Raises FormatError if its shape cannot be one."""
    if len(shape) > MAX_DIMENSIONS:
        raise FormatError(f"tensor {name!r} has {len(shape)} dimensions, more than {MAX_DIMENSIONS}")
    elements = extent = 1
    for length in shape:
        if length < 0 or length > MAX_INT64:
            raise FormatError(f"tensor {name!r} has a dimension of {length}")
        elements *= length
        # A dimension of 0 does not excuse the others: libraries multiply them for strides.
        extent *= max(length, 1)
    if extent * dtype.block_bytes > MAX_INT64:
        raise FormatError(f"tensor {name!r} is too large: {list(shape)}")
    nbytes = dtype.nbytes(elements)
    if nbytes is None:
        raise FormatError(f"tensor {name!r} does not fill its blocks of {dtype.block_elements} {dtype} elements")
    return nbytes


def check_overlaps(tensors: Iterable[TensorInfo]) -> None:
    """Raises FormatError if two tensors have a byte in common."""
    previous = None
    for tensor in sorted((each for each in tensors if each.nbytes > 0), key=lambda each: each.offset):
        if previous is not None and previous.offset + previous.nbytes > tensor.offset:
            raise FormatError(f"tensors {previous.name!r} and {tensor.name!r} overlap")
        previous = tensor
