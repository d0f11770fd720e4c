"""Element types of safetensors and GGUF, and their names in numpy, torch and DLPack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class DType:
    """An element type.

    `name` is the name in the file's format. `block_elements` elements take `block_bytes` bytes: 1 element, unless the
    type is quantized or smaller than a byte. Such a type is given as its raw bytes, `is_raw` is true, and the last
    dimension of `storage_shape()` counts bytes.

    `numpy` is a typestr and `torch` an attribute of torch, or None if there is no such type.
    `dlpack` is a DLDataTypeCode and a number of bits.
    """

    name: str
    block_elements: int
    block_bytes: int
    numpy: Optional[str]
    torch: Optional[str]
    dlpack: tuple[int, int]

    def __str__(self) -> str:
        return self.name

    @property
    def is_raw(self) -> bool:
        """Whether tensors of this type are given as bytes."""
        return self.block_elements > 1

    @property
    def alignment(self) -> int:
        """Bytes that the address of an element must be a multiple of."""
        if self.is_raw:
            return 1
        return self.block_bytes // 2 if self.name == "C64" else self.block_bytes

    def nbytes(self, elements: int) -> Optional[int]:
        """Bytes that elements take, or None if they do not fill the last block."""
        bits = elements * self.block_bytes * 8
        if bits % (self.block_elements * 8) != 0:
            return None
        return bits // self.block_elements // 8

    def storage_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the array that is given: of elements, or of bytes if `is_raw`."""
        if not self.is_raw:
            return shape
        elements = 1
        for length in shape:
            elements *= length
        row = self.nbytes(shape[-1]) if shape else None
        return (*shape[:-1], row) if row is not None else (self.nbytes(elements) or 0,)


_INT, _UINT, _FLOAT, _BFLOAT, _COMPLEX, _BOOL = 0, 1, 2, 4, 5, 6


def _plain(name: str, nbytes: int, numpy: Optional[str], torch: Optional[str], code: int) -> DType:
    return DType(name, 1, nbytes, numpy, torch, (code, nbytes * 8))


def _blocks(name: str, elements: int, nbytes: int) -> DType:
    return DType(name, elements, nbytes, "|u1", "uint8", (_UINT, 8))


_PLAIN = (
    _plain("BOOL", 1, "|b1", "bool", _BOOL),
    _plain("U8", 1, "|u1", "uint8", _UINT),
    _plain("I8", 1, "|i1", "int8", _INT),
    _plain("U16", 2, "<u2", "uint16", _UINT),
    _plain("I16", 2, "<i2", "int16", _INT),
    _plain("U32", 4, "<u4", "uint32", _UINT),
    _plain("I32", 4, "<i4", "int32", _INT),
    _plain("U64", 8, "<u8", "uint64", _UINT),
    _plain("I64", 8, "<i8", "int64", _INT),
    _plain("F16", 2, "<f2", "float16", _FLOAT),
    _plain("F32", 4, "<f4", "float32", _FLOAT),
    _plain("F64", 8, "<f8", "float64", _FLOAT),
    _plain("C64", 8, "<c8", "complex64", _COMPLEX),
    # numpy has no such types.
    _plain("BF16", 2, None, "bfloat16", _BFLOAT),
    _plain("F8_E4M3", 1, None, "float8_e4m3fn", 10),
    _plain("F8_E4M3FNUZ", 1, None, "float8_e4m3fnuz", 11),
    _plain("F8_E5M2", 1, None, "float8_e5m2", 12),
    _plain("F8_E5M2FNUZ", 1, None, "float8_e5m2fnuz", 13),
    _plain("F8_E8M0", 1, None, "float8_e8m0fnu", 14),
)

SAFETENSORS: dict[str, DType] = {
    dtype.name: dtype for dtype in (*_PLAIN, _blocks("F4", 2, 1), _blocks("F6_E2M3", 4, 3), _blocks("F6_E3M2", 4, 3))
}

U8 = SAFETENSORS["U8"]

# Numbers, block sizes and type sizes of ggml.
_GGML_PLAIN = {0: "F32", 1: "F16", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16"}
_GGML_BLOCKS = {
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}

GGML: dict[int, DType] = {
    **{number: SAFETENSORS[name] for number, name in _GGML_PLAIN.items()},
    **{number: _blocks(*sizes) for number, sizes in _GGML_BLOCKS.items()},
}
