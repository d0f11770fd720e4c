"""The GGUF format, versions 2 and 3: typed metadata, a list of tensors, and their aligned data."""

from __future__ import annotations

import array
import struct
import sys
from typing import Any, Union

from ..dtypes import GGML
from ..errors import FormatError
from .header import MAX_INT64, Header, HeaderReader, TensorInfo, check_overlaps, checked_nbytes

MAGIC = b"GGUF"
DEFAULT_ALIGNMENT = 32
MAX_GGML_DIMENSIONS = 4

# Far more than any model has. They bound the time that a header takes.
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 20
MAX_STRINGS = 1 << 22
MAX_NAME_BYTES = 1 << 16

_STRING, _ARRAY, _BOOL, _UINT32 = 8, 9, 7, 4
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<B"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32, _U64 = _SCALARS[4], _SCALARS[10]


class _Cursor:
    """Reads values one after the other."""

    def __init__(self, reader: HeaderReader, position: int) -> None:
        self.reader = reader
        self.position = position
        self.strings = 0

    def scalar(self, kind: struct.Struct) -> Union[int, float]:
        start = self.position
        self.reader.need(start + kind.size)
        self.position = start + kind.size
        value: Union[int, float] = kind.unpack_from(self.reader.buffer, start)[0]
        return value

    def u32(self) -> int:
        return int(self.scalar(_U32))

    def u64(self) -> int:
        return int(self.scalar(_U64))

    def take(self, nbytes: int) -> bytes:
        start = self.position
        self.reader.need(start + nbytes)
        self.position = start + nbytes
        return bytes(self.reader.buffer[start : self.position])

    def name(self, what: str) -> str:
        nbytes = self.u64()
        if nbytes > MAX_NAME_BYTES:
            raise FormatError(f"the name of a {what} has {nbytes} bytes")
        try:
            return self.take(nbytes).decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError(f"the name of a {what} is not UTF-8") from None

    def text(self) -> str:
        """A string value. Tokens need not be UTF-8: other bytes become surrogates, as file names do in Python."""
        self.strings += 1
        if self.strings > MAX_STRINGS:
            raise FormatError(f"the metadata has more than {MAX_STRINGS} strings")
        return self.take(self.u64()).decode("utf-8", "surrogateescape")


def read_header(reader: HeaderReader) -> Header:
    if sys.byteorder != "little":
        raise FormatError("GGUF files are read on little-endian machines only")
    cursor = _Cursor(reader, len(MAGIC))
    version = cursor.u32()
    if version not in (2, 3):
        hint = ": the file is big-endian" if version in (2 << 24, 3 << 24) else ""
        raise FormatError(f"GGUF version {version} is unknown{hint}")
    tensor_count, key_count = cursor.u64(), cursor.u64()
    if tensor_count > MAX_TENSORS or key_count > MAX_KEYS:
        raise FormatError(f"the header has {tensor_count} tensors and {key_count} keys")
    metadata = _read_metadata(cursor, key_count)
    alignment = _alignment(metadata)
    # Offsets count from the end of the list, which is known when the list has been read.
    listed = [_read_tensor(cursor, alignment) for _ in range(tensor_count)]
    start = -(-cursor.position // alignment) * alignment
    tensors: dict[str, TensorInfo] = {}
    for tensor in listed:
        if tensor.name in tensors:
            raise FormatError(f"the tensor {tensor.name!r} occurs twice")
        if tensor.nbytes > 0 and start + tensor.offset + tensor.nbytes > reader.nbytes:
            raise FormatError(f"tensor {tensor.name!r} ends after the file, which has {reader.nbytes} bytes")
        placed = min(start + tensor.offset, reader.nbytes)
        tensors[tensor.name] = TensorInfo(tensor.name, tensor.dtype, tensor.shape, placed, tensor.nbytes)
    check_overlaps(tensors.values())
    return Header("gguf", {key: value for key, (_, value) in metadata.items()}, tensors)


def _read_metadata(cursor: _Cursor, count: int) -> dict[str, tuple[int, Any]]:
    """Types and values, by key."""
    metadata: dict[str, tuple[int, Any]] = {}
    for _ in range(count):
        key = cursor.name("key")
        if key in metadata:
            raise FormatError(f"the key {key!r} occurs twice")
        kind = cursor.u32()
        metadata[key] = (kind, _read_value(cursor, key, kind))
    return metadata


def _read_value(cursor: _Cursor, key: str, kind: int) -> Any:
    if kind == _STRING:
        return cursor.text()
    if kind == _ARRAY:
        return _read_array(cursor, key, cursor.u32(), cursor.u64())
    scalar = _SCALARS.get(kind)
    if scalar is None:
        raise FormatError(f"the key {key!r} has the unknown type {kind}")
    value = cursor.scalar(scalar)
    if kind != _BOOL:
        return value
    if value not in (0, 1):
        raise FormatError(f"the key {key!r} is neither true nor false")
    return value == 1


def _read_array(cursor: _Cursor, key: str, kind: int, count: int) -> Any:
    """A list of strings or of bools, or an array.array of numbers."""
    if kind == _STRING:
        if count > MAX_STRINGS:
            raise FormatError(f"the array {key!r} has {count} strings")
        return [cursor.text() for _ in range(count)]
    if kind == _ARRAY:
        raise FormatError(f"the key {key!r} is an array of arrays, which readers of GGUF do not support")
    scalar = _SCALARS.get(kind)
    if scalar is None:
        raise FormatError(f"the array {key!r} has the unknown type {kind}")
    values = cursor.take(count * scalar.size)
    if kind == _BOOL:
        if values.translate(None, b"\0\1"):
            raise FormatError(f"the array {key!r} has a value that is neither true nor false")
        return [value == 1 for value in values]
    return array.array(scalar.format[-1], values)


def _alignment(metadata: dict[str, tuple[int, Any]]) -> int:
    kind, value = metadata.get("general.alignment", (_UINT32, DEFAULT_ALIGNMENT))
    if kind != _UINT32 or value == 0 or value & (value - 1) != 0:
        raise FormatError(f"general.alignment is {value!r}, which is not a power of 2")
    return int(value)


def _read_tensor(cursor: _Cursor, alignment: int) -> TensorInfo:
    """A tensor with its offset in the data."""
    name = cursor.name("tensor")
    dimensions = cursor.u32()
    if dimensions > MAX_GGML_DIMENSIONS:
        raise FormatError(f"tensor {name!r} has {dimensions} dimensions, more than {MAX_GGML_DIMENSIONS}")
    lengths = [cursor.u64() for _ in range(dimensions)]
    number = cursor.u32()
    offset = cursor.u64()
    dtype = GGML.get(number)
    if dtype is None:
        raise FormatError(f"tensor {name!r} has the unknown type {number}")
    # ggml lists the fastest dimension first.
    shape = tuple(reversed(lengths))
    nbytes = checked_nbytes(name, dtype, shape)
    if nbytes > 0 and (shape[-1] if shape else 1) % dtype.block_elements != 0:
        raise FormatError(f"the rows of tensor {name!r} do not fill blocks of {dtype.block_elements} {dtype} elements")
    if offset > MAX_INT64 or offset % alignment != 0:
        raise FormatError(f"tensor {name!r} is at {offset}, which is not a multiple of {alignment}")
    return TensorInfo(name, dtype, shape, offset, nbytes)
