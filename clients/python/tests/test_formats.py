"""Headers of model files: what they say, and headers that lie. These tests need no worker."""

from __future__ import annotations

import json
import os
import random
import struct
import unittest
from typing import Any

from tests.worker import gguf, gguf_string, safetensors
from vram_residency import FormatError, Header, read_header
from vram_residency.dtypes import GGML, SAFETENSORS

F32, Q4_K = 0, 12
HUGE = 2**63


def parse(content: bytes, nbytes: int = -1) -> Header:
    """Reads a header. Fails if a byte outside the file is asked for."""
    size = len(content) if nbytes < 0 else nbytes

    def read(offset: int, count: int) -> bytes:
        assert 0 <= offset and 0 < count and offset + count <= size, "a read outside the file"
        return content[offset : offset + count].ljust(count, b"\0")

    return read_header(read, size)


def with_header(members: Any, data: bytes = b"") -> bytes:
    header = members if isinstance(members, bytes) else json.dumps(members).encode()
    return struct.pack("<Q", len(header)) + header + data


def tensor(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


class Formats(unittest.TestCase):
    def assert_lie(self, content: bytes, message: str, nbytes: int = -1) -> None:
        with self.assertRaisesRegex(FormatError, message) as caught:
            parse(content, nbytes)
        self.assertEqual(caught.exception.code, "INVALID_FORMAT")
        self.assertFalse(caught.exception.retriable)

    def test_a_safetensors_header_gives_tensors_in_the_order_of_the_file(self) -> None:
        content = safetensors({"b": ("F32", [2, 1], bytes(8)), "a": ("BF16", [], bytes(2))}, {"format": "pt"})
        header = parse(content)
        self.assertEqual((header.format, header.metadata), ("safetensors", {"format": "pt"}))
        self.assertEqual(list(header.tensors), ["b", "a"])
        found = header.tensors["a"]
        self.assertEqual((found.dtype.name, found.shape, found.nbytes), ("BF16", (), 2))
        self.assertEqual(found.offset, len(content) - 2)
        self.assertEqual(parse(with_header({})).tensors, {})

    def test_each_dtype_of_both_formats_has_a_size(self) -> None:
        for name, dtype in SAFETENSORS.items():
            nbytes = dtype.nbytes(dtype.block_elements)
            content = safetensors({"t": (name, [dtype.block_elements], bytes(nbytes or 0))})
            self.assertEqual(parse(content).tensors["t"].dtype, dtype)
        for number, dtype in GGML.items():
            content = gguf({"t": (number, [dtype.block_elements, 2], bytes(2 * dtype.block_bytes))})
            found = parse(content).tensors["t"]
            self.assertEqual((found.dtype, found.shape), (dtype, (2, dtype.block_elements)))
            self.assertEqual(found.nbytes, 2 * dtype.block_bytes)
        self.assertEqual(GGML[Q4_K].storage_shape((3, 512)), (3, 288))
        self.assertEqual(SAFETENSORS["F6_E2M3"].storage_shape((2, 2)), (3,))

    def test_a_gguf_header_gives_tensors_and_metadata(self) -> None:
        keys = {
            "general.name": struct.pack("<I", 8) + gguf_string("a model"),
            "general.alignment": struct.pack("<II", 4, 64),
            "n": struct.pack("<Iq", 11, -5),
            "x": struct.pack("<Id", 12, 0.5),
            "yes": struct.pack("<IB", 7, 1),
            "scores": struct.pack("<IIQ2f", 9, 6, 2, 1.5, -2.0),
            "flags": struct.pack("<IIQ2B", 9, 7, 2, 1, 0),
            "tokens": struct.pack("<IIQ", 9, 8, 2) + gguf_string("<s>") + struct.pack("<QB", 1, 0xFF),
        }
        content = gguf({"q": (Q4_K, [256, 2], bytes(288)), "w": (F32, [3, 2], bytes(24))}, keys, 64)
        header = parse(content)
        metadata = dict(header.metadata)
        self.assertEqual(list(metadata.pop("scores")), [1.5, -2.0])
        tokens = metadata.pop("tokens")
        self.assertEqual((tokens[0], tokens[1].encode("utf-8", "surrogateescape")), ("<s>", b"\xff"))
        expected = {"general.name": "a model", "general.alignment": 64, "n": -5, "x": 0.5, "yes": True}
        self.assertEqual(metadata, {**expected, "flags": [True, False]})
        self.assertEqual((header.format, header.tensors["w"].shape), ("gguf", (2, 3)))
        self.assertEqual(header.tensors["w"].offset % 64, 0)
        self.assertEqual(header.tensors["w"].offset + 24, len(content))

    def test_a_file_of_another_format_is_refused(self) -> None:
        for content in (b"", b"1234567", b"\x7fELF" + bytes(100), b"\xff" * 64, random.Random(1).randbytes(4096)):
            self.assert_lie(content, "header|neither|JSON|UTF-8")

    def test_safetensors_headers_that_lie_are_refused(self) -> None:
        data = bytes(8)
        for members, message in {
            b"{": "not JSON",
            b"[1]": "not a JSON object",
            b'{"a": "\xff"}': "not UTF-8",
            b'{"a": NaN}': "NaN",
            b"[" * 100_000: "nested",
            b'{"a": 1, "a": 2}': "'a' occurs twice",
            b'{"a": {"dtype": "F32", "dtype": "F32"}}': "'dtype' occurs twice",
            b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, ' + b"9" * 100_000 + b"]}}": "too large",
            b'{"\\ud800": {}}': "not Unicode",
        }.items():
            self.assert_lie(with_header(members, data), message)
        for member, message in (
            ([], "not an object"),
            ({}, "unknown dtype None"),
            (tensor(dtype="F33"), "unknown dtype 'F33'"),
            ({**tensor(), "dtype": ["F32"]}, "unknown dtype"),
            (tensor(shape=None), "shape"),
            (tensor(shape=[2.0]), "shape"),
            (tensor(shape=[True, 2]), "shape"),
            (tensor(shape=[-2]), "shape"),
            (tensor(shape=[HUGE]), "shape"),
            (tensor(shape=[HUGE - 1]), "too large"),
            (tensor(shape=[HUGE - 1, HUGE - 1, 0], offsets=[0, 0]), "too large"),
            (tensor(shape=[2**32, 2**32], offsets=[0, 0]), "too large"),
            (tensor(shape=[1] * 33), "33 dimensions"),
            (tensor(shape=[1] * 100_000), "100000 dimensions"),
            (tensor(shape=[3]), "do not fit"),
            (tensor(dtype="F4", shape=[3]), "blocks"),
            (tensor(offsets=[0]), "two data_offsets"),
            (tensor(offsets=[0, 4, 8]), "two data_offsets"),
            (tensor(offsets="08"), "data_offsets"),
            (tensor(offsets=[8, 0]), "at 8 to 0"),
            (tensor(offsets=[0, HUGE]), "data_offsets"),
            (tensor(offsets=[HUGE - 8, HUGE - 1]), "but the data has 8 bytes"),
            (tensor(offsets=[-8, 0]), "data_offsets"),
            (tensor(shape=[1], offsets=[4, 8]), "gap"),
            (tensor(shape=[1], offsets=[0, 4]), "end at byte"),
        ):
            self.assert_lie(with_header({"a": member}, data), message)
        self.assert_lie(with_header({"a": tensor(), "b": tensor()}, data), "overlaps")
        self.assert_lie(with_header({"a": tensor(), "b": tensor(offsets=[4, 12])}, bytes(12)), "overlaps")
        self.assert_lie(with_header({"__metadata__": {"a": 1}}), "__metadata__")
        self.assert_lie(with_header({"__metadata__": []}), "__metadata__")

    def test_a_safetensors_length_that_lies_is_refused(self) -> None:
        for length in (9, 99_999_999):
            self.assert_lie(struct.pack("<Q", length) + b"{}", "the file has 10")
        for length in (100_000_001, HUGE, 2**64 - 1):
            self.assert_lie(struct.pack("<Q", length) + b"{}", "neither", nbytes=2**40)

    def test_gguf_headers_that_lie_are_refused(self) -> None:
        good = gguf({"t": (F32, [2], bytes(8))})
        for version, message in ((0, "version 0"), (1, "version 1"), (4, "version 4"), (3 << 24, "big-endian")):
            self.assert_lie(good[:4] + struct.pack("<I", version) + good[8:], message)
        for counts in ((HUGE, 0), (2**64 - 1, 2**64 - 1), (1, HUGE), (2**20 + 1, 0), (0, 2**16 + 1)):
            self.assert_lie(good[:8] + struct.pack("<QQ", *counts) + good[24:], "tensors and")
        for end in range(4, len(good)):
            self.assert_lie(good[:end], "header|after the file")

    def test_gguf_keys_that_lie_are_refused(self) -> None:
        string = struct.pack("<I", 8)
        for value, message in (
            (struct.pack("<I", 13), "unknown type 13"),
            (struct.pack("<IB", 7, 2), "neither true nor false"),
            (string + struct.pack("<Q", HUGE), "the file has"),
            (string + struct.pack("<Q", 2**64 - 1), "the file has"),
            (struct.pack("<IIQ", 9, 9, 1), "array of arrays"),
            (struct.pack("<IIQ", 9, 13, 1), "unknown type 13"),
            (struct.pack("<IIQ", 9, 8, HUGE), "strings"),
            (struct.pack("<IIQ", 9, 10, HUGE), "the file has"),
            (struct.pack("<IIQ", 9, 0, 2**64 - 1), "the file has"),
            (struct.pack("<IIQ3B", 9, 7, 3, 0, 1, 7), "neither true nor false"),
        ):
            self.assert_lie(gguf({}, {"k": value}), message)
        one = gguf_string("k") + struct.pack("<IB", 7, 1)
        self.assert_lie(b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + one + one, "'k' occurs twice")
        self.assert_lie(b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"\xff" + bytes(64), "not UTF-8")
        self.assert_lie(b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, HUGE) + bytes(64), "name of a key")

    def test_gguf_alignments_that_lie_are_refused(self) -> None:
        for value in (struct.pack("<II", 4, 0), struct.pack("<II", 4, 33), struct.pack("<IQ", 10, 32)):
            self.assert_lie(gguf({}, {"general.alignment": value}), "power of 2")
        largest = {"general.alignment": struct.pack("<II", 4, 2**31)}
        self.assert_lie(gguf({"t": (F32, [2], bytes(8))}, largest), "after the file")
        self.assertEqual(parse(gguf({"t": (F32, [0], b"")}, largest)).tensors["t"].nbytes, 0)

    def test_gguf_tensors_that_lie_are_refused(self) -> None:
        def described(dimensions: list[int], kind: int = F32, offset: int = 0, count: int = -1) -> bytes:
            info = gguf_string("t") + struct.pack("<I", len(dimensions) if count < 0 else count)
            info += struct.pack(f"<{len(dimensions)}QIQ", *dimensions, kind, offset)
            return b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + info + bytes(512)

        for content, message in (
            (described([HUGE]), "dimension of"),
            (described([2**64 - 1]), "dimension of"),
            (described([HUGE - 1]), "too large"),
            (described([2**32, 2**32]), "too large"),
            (described([0, HUGE - 1]), "too large"),
            (described([2], count=5), "5 dimensions"),
            (described([2], count=2**32 - 1), "4294967295 dimensions"),
            (described([2], kind=4), "unknown type 4"),
            (described([2], kind=2**32 - 1), "unknown type"),
            (described([255], kind=Q4_K), "blocks"),
            (described([128, 2], kind=Q4_K), "rows"),
            (described([], kind=Q4_K), "blocks"),
            (described([2], offset=4), "multiple of 32"),
            (described([2], offset=1024), "after the file"),
            (described([2], offset=HUGE), "multiple of 32"),
            (described([2**40]), "after the file"),
        ):
            self.assert_lie(content, message)
        info = gguf_string("t") + struct.pack("<IQIQ", 1, 2, F32, 0)
        twice = b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + info + info + bytes(64)
        self.assert_lie(twice, "'t' occurs twice")
        other = gguf_string("u") + struct.pack("<IQIQ", 1, 9, F32, 0)
        self.assert_lie(twice[:24] + info + other + bytes(128), "overlap")

    def test_random_changes_of_a_header_raise_nothing_else(self) -> None:
        keys = {"tokens": struct.pack("<IIQ", 9, 8, 2) + gguf_string("a") + gguf_string("b")}
        files = [
            safetensors({"a": ("F32", [2], bytes(8)), "b": ("U8", [3], bytes(3))}, {"k": "v"}),
            gguf({"t": (F32, [2], bytes(8)), "u": (Q4_K, [256], bytes(144))}, keys),
        ]
        rng = random.Random(7)
        for round_number in range(6000):
            content = bytearray(files[round_number % 2])
            for _ in range(rng.randint(1, 4)):
                position = rng.randrange(len(content))
                content[position] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            try:
                header = parse(bytes(content[: rng.choice((len(content), rng.randrange(len(content) + 1)))]))
            except FormatError:
                continue
            for each in header.tensors.values():
                self.assertTrue(0 <= each.offset and each.offset + each.nbytes <= len(content))

    @unittest.skipUnless("PYTHON_CLIENT_GGUF" in os.environ, "PYTHON_CLIENT_GGUF names no file")
    def test_the_header_of_a_real_file_is_read(self) -> None:
        with open(os.environ["PYTHON_CLIENT_GGUF"], "rb") as file:
            header = parse(file.read())
        self.assertEqual(header.format, "gguf")
        self.assertGreater(len(header.metadata["tokenizer.ggml.tokens"]), 1000)
        self.assertEqual(
            len(header.metadata["tokenizer.ggml.token_type"]), len(header.metadata["tokenizer.ggml.tokens"])
        )

    def test_a_header_of_a_large_file_is_bounded(self) -> None:
        # Every string is empty, so a header within the limit could have millions of them.
        many = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf_string("k") + struct.pack("<IIQ", 9, 8, 2**22)
        self.assert_lie(many, "has more than|the file has", nbytes=1 << 20)
        endless = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf_string("k") + struct.pack("<IIQ", 9, 0, 2**38)
        self.assert_lie(endless, "more than", nbytes=2**40)


if __name__ == "__main__":
    unittest.main()
