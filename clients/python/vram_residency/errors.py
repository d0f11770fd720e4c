"""Exceptions. Each is an `AttachError`, and most are a built-in exception too."""

from __future__ import annotations

from typing import Sequence


class AttachError(Exception):
    """A failure of this package.

    `code` is the worker's error code if the worker refused, such as `NOT_FOUND`. Otherwise it is the name of a status
    of libvram_attach, such as `NOT_CONNECTED`, or one of `LIBRARY_NOT_FOUND`, `CLOSED`, `FORKED`, `INVALID_FORMAT`,
    `NO_SUCH_TENSOR`, `UNSUPPORTED_DTYPE`, `MISALIGNED`, `NOT_HOST_MEMORY` and `BIND_FAILED`.
    `retriable` says whether the same call can succeed later, `retry_after_ms` after how many milliseconds (0: unknown).
    `driver_result` is the CUresult of a failed driver call, otherwise 0.
    """

    code: str
    detail: str
    retriable: bool
    retry_after_ms: int
    driver_result: int

    def __init__(
        self, code: str, detail: str, *, retriable: bool = False, retry_after_ms: int = 0, driver_result: int = 0
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.retriable = retriable
        self.retry_after_ms = retry_after_ms
        self.driver_result = driver_result

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


class RefusedError(AttachError):
    """The worker refused. `code` says why."""


class NotConnectedError(AttachError, ConnectionError):
    """The socket cannot be reached, or the connection ended."""


class AttachTimeoutError(AttachError, TimeoutError):
    """The worker did not answer in time."""


class FormatError(AttachError, ValueError):
    """The shard is not a valid safetensors or GGUF file."""

    def __init__(self, detail: str) -> None:
        super().__init__("INVALID_FORMAT", detail)

    def __reduce__(self) -> tuple[type[FormatError], tuple[str]]:
        return type(self), (self.detail,)


class TensorError(AttachError, TypeError):
    """A tensor cannot be given in the form that was asked for."""


class NoSuchTensorError(AttachError, KeyError):
    """The shard has no tensor of that name."""


class BindError(AttachError, ValueError):
    """A module and a shard do not match. `problems` has one sentence for each difference."""

    problems: Sequence[str]

    def __init__(self, problems: Sequence[str]) -> None:
        shown = "; ".join(problems[:10])
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        super().__init__("BIND_FAILED", shown + more)
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type[BindError], tuple[Sequence[str]]]:
        return type(self), (self.problems,)
