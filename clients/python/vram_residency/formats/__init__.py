"""Headers of model files. They are input: each size and offset is checked before it is used."""

from __future__ import annotations

from ..errors import FormatError
from . import gguf, safetensors
from .header import Header, HeaderReader, Read, TensorInfo

__all__ = ["Header", "Read", "TensorInfo", "read_header"]


def read_header(read: Read, nbytes: int) -> Header:
    """Reads the header of a file of `nbytes` bytes.

    `read(offset, count)` returns bytes of the file, and is called for the header only.
    Raises FormatError if the file is neither safetensors nor GGUF, or its header is invalid.
    """
    if nbytes < 8:
        raise FormatError(f"a file of {nbytes} bytes has no header")
    reader = HeaderReader(read, nbytes)
    if reader.peek(4) == gguf.MAGIC:
        return gguf.read_header(reader)
    return safetensors.read_header(reader)
