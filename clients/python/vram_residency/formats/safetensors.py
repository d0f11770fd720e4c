"""The safetensors format: an 8-byte length, a JSON object, and the data, without gaps."""

from __future__ import annotations

import json
from typing import Any, Mapping, NoReturn

from ..dtypes import SAFETENSORS
from ..errors import FormatError
from .header import MAX_INT64, Header, HeaderReader, TensorInfo, checked_nbytes

MAX_HEADER_BYTES = 100_000_000  # of the reference implementation


def read_header(reader: HeaderReader) -> Header:
    length = int.from_bytes(reader.peek(8), "little")
    if length > MAX_HEADER_BYTES:
        raise FormatError("the file is neither safetensors nor GGUF, or its header is too large")
    start = 8 + length
    reader.need(start)
    members = _parse(bytes(reader.buffer[8:start]))
    metadata = members.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FormatError("__metadata__ is not an object of strings")
    tensors = [_tensor(name, member, start, reader.nbytes) for name, member in members.items()]
    tensors.sort(key=lambda tensor: (tensor.offset, tensor.nbytes))
    _check_gaps(tensors, start, reader.nbytes)
    return Header("safetensors", metadata, {tensor.name: tensor for tensor in tensors})


def _parse(text: bytes) -> dict[str, Any]:
    try:
        # An object becomes a dict with its own names only; json alone would keep the last of two.
        members = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_constant=_constant,
        )
    except UnicodeDecodeError as error:
        raise FormatError(f"the header is not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise FormatError("the header is nested too deeply") from None
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(f"the header is not JSON: {error}") from None
    if not isinstance(members, dict):
        raise FormatError("the header is not a JSON object")
    return members


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen = set()
        duplicate = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise FormatError(f"the name {duplicate!r} occurs twice")
    return members


def _integer(digits: str) -> int:
    # The conversion of a long number takes time that grows with its square.
    if len(digits) > 20:
        raise FormatError(f"the number {digits[:20]}… is too large")
    return int(digits)


def _constant(name: str) -> NoReturn:
    raise FormatError(f"the header contains {name}, which is not JSON")


def _tensor(name: str, member: Any, start: int, nbytes: int) -> TensorInfo:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise FormatError(f"the name {name!r} is not Unicode text") from None
    if not isinstance(member, dict):
        raise FormatError(f"tensor {name!r} is not an object")
    dtype = SAFETENSORS.get(member["dtype"]) if isinstance(member.get("dtype"), str) else None
    if dtype is None:
        raise FormatError(f"tensor {name!r} has the unknown dtype {member.get('dtype')!r}")
    shape = tuple(_integers(name, member, "shape"))
    offsets = _integers(name, member, "data_offsets")
    if len(offsets) != 2:
        raise FormatError(f"tensor {name!r} does not have two data_offsets")
    begin, end = offsets
    if begin > end or end > nbytes - start:
        raise FormatError(f"tensor {name!r} is at {begin} to {end}, but the data has {nbytes - start} bytes")
    if checked_nbytes(name, dtype, shape) != end - begin:
        raise FormatError(f"tensor {name!r} has {end - begin} bytes, which do not fit {dtype} {list(shape)}")
    return TensorInfo(name, dtype, shape, start + begin, end - begin)


def _integers(name: str, member: Mapping[str, Any], key: str) -> list[int]:
    values = member.get(key)
    # A bool is an int in Python, but not in JSON.
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value <= MAX_INT64 for value in values):
        raise FormatError(f"{key} of tensor {name!r} is not a list of sizes")
    return values


def _check_gaps(tensors: list[TensorInfo], start: int, nbytes: int) -> None:
    """The format allows neither overlaps nor gaps, and no data after the last tensor."""
    end = start
    for tensor in tensors:
        if tensor.offset != end:
            problem = "overlaps another one" if tensor.offset < end else "follows a gap"
            raise FormatError(f"tensor {tensor.name!r} {problem}")
        end = tensor.offset + tensor.nbytes
    if end != nbytes:
        raise FormatError(f"the tensors end at byte {end}, but the file has {nbytes} bytes")
