"""Tensors of a shard, used in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Iterator, Optional, Sequence

from ._memory import Memory
from .dtypes import U8, DType
from .errors import NoSuchTensorError, TensorError
from .formats import Header, TensorInfo

if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor as TorchTensor
    from torch import dtype as TorchDType

_CPU, _CUDA = 1, 2  # DLDeviceType


class Tensor:
    """A tensor of a shard, without a copy.

    The tensor, and each array, torch tensor or memoryview that was made from it, is a *view*: the memory stays mapped
    until the last view is gone. The memory is read-only. A write through a view is a fatal signal on the simulator, and
    destroys the CUDA context on a GPU.

    `shape` counts elements, in row-major order. For quantized types, and for types smaller than a byte, the arrays have
    elements of one byte, and `storage_shape` is their shape: blocks as they are in the file.
    """

    __slots__ = ("_memory", "_info", "__weakref__")

    def __init__(self, memory: Memory, info: TensorInfo) -> None:
        self._memory = memory
        self._info = info

    def __repr__(self) -> str:
        return f"<Tensor {self.name!r} {self.dtype} {list(self.shape)}>"

    @property
    def name(self) -> str:
        """The name in the file."""
        return self._info.name

    @property
    def dtype(self) -> DType:
        """The type of an element, with its name in the file's format."""
        return self._info.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dimensions, in elements."""
        return self._info.shape

    @property
    def storage_shape(self) -> tuple[int, ...]:
        """Shape of the arrays: `shape`, or for raw types the last dimension in bytes."""
        return self.dtype.storage_shape(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return self._info.nbytes

    @property
    def offset(self) -> int:
        """First byte, counted from the start of the shard."""
        return self._info.offset

    @property
    def address(self) -> int:
        """Device address of the first byte. It is valid as long as a view of the lease exists."""
        return self._memory.address + self.offset

    @property
    def is_aligned(self) -> bool:
        """Whether the address is a multiple of the element's alignment. A file can place tensors anywhere."""
        return self.address % self.dtype.alignment == 0

    def raw(self) -> Tensor:
        """The bytes of the tensor, as a view of type U8 with one dimension. It has no alignment."""
        return Tensor(self._memory, TensorInfo(self.name, U8, (self.nbytes,), self.offset, self.nbytes))

    def read(self) -> bytes:
        """A copy of the bytes on the host, on a GPU as well. Raises AttachError if the driver fails."""
        return self._memory.read(self.offset, self.nbytes)

    def memoryview(self) -> memoryview:
        """The bytes, read-only. Raises TensorError on a GPU."""
        return memoryview(self._memory.bytes_at(self.offset, self.nbytes)).cast("B").toreadonly()

    def numpy(self) -> ndarray[Any, Any]:
        """A read-only array, on the simulator.

        Raises TensorError on a GPU, and for bfloat16 and 8-bit floats, which numpy does not have: take
        `raw().numpy()`, and a view of it with a dtype of ml_dtypes. A misaligned tensor is a misaligned array.
        """
        import numpy

        if self.dtype.numpy is None:
            raise TensorError("UNSUPPORTED_DTYPE", f"numpy has no {self.dtype}: use raw().numpy()")
        flat: ndarray[Any, Any] = numpy.frombuffer(self.memoryview(), dtype=numpy.dtype(self.dtype.numpy))
        return flat.reshape(self.storage_shape)

    def torch(self) -> TorchTensor:
        """A torch tensor: on the CPU if the device is simulated, otherwise on its GPU.

        PyTorch has no read-only tensors, so it does not refuse a write in place.
        Raises TensorError if this release of PyTorch does not have the type (use `raw().torch()`), or if the tensor is
        misaligned (use `clone()`).
        """
        import torch

        self._require_alignment()
        dtype = self._torch_dtype()
        if self.nbytes == 0:
            return torch.empty(self.storage_shape, dtype=dtype, device=self._torch_device())
        tensor: TorchTensor = self._torch_bytes().view(dtype).view(self.storage_shape)
        return tensor

    def clone(self) -> TorchTensor:
        """A private copy, which can be written to. The tensor may be misaligned. Otherwise raises as torch() does."""
        import torch

        dtype = self._torch_dtype()
        if self.nbytes == 0:
            return torch.empty(self.storage_shape, dtype=dtype, device=self._torch_device())
        tensor: TorchTensor = self._torch_bytes().clone().view(dtype).view(self.storage_shape)
        return tensor

    def __dlpack_device__(self) -> tuple[int, int]:
        """(1, 0), the CPU, on the simulator; otherwise (2, ordinal of the CUDA device in this process)."""
        return (_CPU, 0) if self._memory.connection.is_host_memory else (_CUDA, self._memory.device)

    def __dlpack__(
        self,
        *,
        stream: Optional[Any] = None,
        max_version: Optional[tuple[int, int]] = None,
        dl_device: Optional[tuple[int, int]] = None,
        copy: Optional[bool] = None,
    ) -> Any:
        """A DLPack capsule. If the consumer knows version 1, it says that the memory is read-only.

        `stream` needs no work: the memory does not change. Raises BufferError for another device, for a copy and for a
        misaligned tensor.
        """
        if dl_device is not None and tuple(dl_device) != self.__dlpack_device__():
            raise BufferError("the tensor is on another device, and is not copied")
        if copy:
            raise BufferError("the tensor is not copied: use clone()")
        if not self.is_aligned:
            raise BufferError(f"tensor {self.name!r} is misaligned: use raw() or clone()")
        code, bits = self.dtype.dlpack
        versioned = max_version is not None and max_version[0] >= 1
        return self._memory.export(self.offset, self.storage_shape, code, bits, versioned)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3, read-only. AttributeError on the simulator, and for types that numpy does not have."""
        if self._memory.connection.is_host_memory:
            raise AttributeError("__cuda_array_interface__: the memory is not on a CUDA device")
        if self.dtype.numpy is None or not self.is_aligned:
            raise AttributeError(f"__cuda_array_interface__: not for {self.dtype} or a misaligned tensor: use raw()")
        return _interface(self.address, self.storage_shape, self.dtype.numpy, True)

    def _require_alignment(self) -> None:
        if not self.is_aligned:
            raise TensorError("MISALIGNED", f"tensor {self.name!r} is misaligned: use clone()")

    def _torch_dtype(self) -> TorchDType:
        import torch

        dtype = getattr(torch, self.dtype.torch) if self.dtype.torch and hasattr(torch, self.dtype.torch) else None
        if not isinstance(dtype, torch.dtype):
            raise TensorError("UNSUPPORTED_DTYPE", f"torch {torch.__version__} has no {self.dtype}: use raw().torch()")
        return dtype

    def _torch_device(self) -> str:
        return "cpu" if self._memory.connection.is_host_memory else f"cuda:{self._memory.device}"

    def _torch_bytes(self) -> TorchTensor:
        """The bytes as a torch tensor that keeps the memory, in a way that needs no code of ours when it is freed."""
        import torch

        if self._memory.connection.is_host_memory:
            return torch.frombuffer(self._memory.bytes_at(self.offset, self.nbytes), dtype=torch.uint8)
        return torch.as_tensor(_CudaBytes(self._memory, self.address, self.nbytes), device=self._torch_device())


class _CudaBytes:
    """Bytes on a GPU. PyTorch takes only memory that is said to be writable."""

    def __init__(self, memory: Memory, address: int, nbytes: int) -> None:
        self.memory = memory
        self.__cuda_array_interface__ = _interface(address, (nbytes,), "|u1", False)


def _interface(address: int, shape: Sequence[int], typestr: str, read_only: bool) -> dict[str, Any]:
    return {"version": 3, "shape": tuple(shape), "typestr": typestr, "data": (address, read_only), "strides": None}


class Tensors(Mapping[str, Tensor]):
    """The tensors of a shard by name, in the order of the file. This object is a view, too."""

    def __init__(self, memory: Memory, header: Header) -> None:
        self._memory = memory
        self._header = header

    def __repr__(self) -> str:
        return f"<Tensors: {len(self)} of a {self.format} file>"

    @property
    def format(self) -> str:
        """ "safetensors" or "gguf"."""
        return self._header.format

    @property
    def metadata(self) -> Mapping[str, Any]:
        """`__metadata__` of a safetensors file; keys and values of a GGUF file, with numeric arrays as array.array."""
        return self._header.metadata

    def __getitem__(self, name: str) -> Tensor:
        info = self._header.tensors.get(name)
        if info is None:
            raise NoSuchTensorError("NO_SUCH_TENSOR", f"the shard has no tensor {name!r}")
        return Tensor(self._memory, info)

    def __iter__(self) -> Iterator[str]:
        return iter(self._header.tensors)

    def __len__(self) -> int:
        return len(self._header.tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._header.tensors
