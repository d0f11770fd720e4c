"""Makes the parameters of a torch module views of attached shards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Iterable, Union

from .errors import AttachError, BindError
from .lease import Lease
from .tensor import Tensor

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Binding:
    """What bind() did, by names of parameters and buffers.

    `bound`: parameters that are views of a shard. `tied`: groups of names that share one parameter or buffer.
    `cloned_buffers`: buffers that are private copies. `cloned_misaligned`: parameters that are private copies, because
    kernels cannot read them where they are. `untouched`: buffers that are not part of the module's state.
    `cloned_bytes`: memory that the copies take.
    """

    bound: tuple[str, ...]
    tied: tuple[tuple[str, ...], ...]
    cloned_buffers: tuple[str, ...]
    cloned_misaligned: tuple[str, ...]
    untouched: tuple[str, ...]
    cloned_bytes: int


@dataclass
class _Slot:
    """A parameter or buffer: its names, the places where the module has it, and the tensors that have its names."""

    value: torch.Tensor
    is_buffer: bool
    names: list[str] = field(default_factory=list)
    owners: list[tuple[torch.nn.Module, str]] = field(default_factory=list)
    sources: list[Tensor] = field(default_factory=list)

    @property
    def is_misaligned(self) -> bool:
        return not self.is_buffer and not self.sources[0].is_aligned

    @property
    def is_copied(self) -> bool:
        return self.is_buffer or self.is_misaligned


def bind(module: torch.nn.Module, leases: Union[Lease, Iterable[Lease]], *, prefix: str = "") -> Binding:
    """Makes the parameters of a module views of the tensors of one shard, or of several.

    Strict: each parameter, and each buffer of the module's state, must be a tensor of one shard, with the same shape
    and dtype. Each tensor of the shards whose name begins with `prefix` must be used. `prefix` is the part of the
    tensors' names that the module's names do not have. The module can be on any device, `meta` as well.

    - Tied parameters become one parameter, if the shards have one of their names. If they have several, all must have
      the same bytes.
    - Buffers are copied, because modules write to them. Misaligned parameters are copied, because kernels cannot read
      them. Nothing else is copied, and nothing is written to a shard.
    - New parameters have `requires_grad=False`. They are views: they keep the leases alive.

    All or nothing: raises BindError with every difference, or another exception, and the module is as it was. An
    optimizer, a hook or a compiled graph that refers to the old parameters must be made after this call.
    """
    problems: list[str] = []
    tensors = _named_tensors([leases] if isinstance(leases, Lease) else list(leases), prefix, problems)
    slots, untouched = _slots_of(module)
    for slot in slots:
        slot.sources = [tensors.pop(name) for name in slot.names if name in tensors]
        problems += _problems_of(slot)
    problems += [f"unexpected tensor {prefix + name!r}" for name in tensors]
    if problems:
        raise BindError(problems)
    _replace(slots, [_new_value(slot) for slot in slots])
    return _describe(slots, untouched)


def _named_tensors(leases: list[Lease], prefix: str, problems: list[str]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for lease in leases:
        for name, tensor in lease.tensors.items():
            if not name.startswith(prefix):
                continue
            if name[len(prefix) :] in tensors:
                problems.append(f"two shards have the tensor {name!r}")
            tensors[name[len(prefix) :]] = tensor
    return tensors


def _slots_of(module: torch.nn.Module) -> tuple[list[_Slot], list[str]]:
    """The parameters and the buffers of a module's state, and the names of its other buffers."""
    slots: dict[int, _Slot] = {}
    untouched = []
    for path, owner in module.named_modules(remove_duplicate=False):
        for is_buffer, members in ((False, owner._parameters), (True, owner._buffers)):
            for attribute, value in members.items():
                if value is None:
                    continue
                name = f"{path}.{attribute}" if path else attribute
                if is_buffer and attribute in owner._non_persistent_buffers_set:
                    untouched.append(name)
                    continue
                slot = slots.setdefault(id(value), _Slot(value, is_buffer))
                slot.names.append(name)
                if (owner, attribute) not in slot.owners:
                    slot.owners.append((owner, attribute))
    return list(slots.values()), untouched


def _problems_of(slot: _Slot) -> list[str]:
    import torch
    from torch.nn.parameter import is_lazy

    kind, name = ("buffer" if slot.is_buffer else "parameter"), slot.names[0]
    if is_lazy(slot.value):
        return [f"{kind} {name!r} has no shape yet"]
    if not slot.is_buffer and type(slot.value) is not torch.nn.Parameter:
        return [f"{kind} {name!r} is a {type(slot.value).__name__}, which has a meaning of its own"]
    if not slot.sources:
        return [f"missing tensor for {kind} {' or '.join(map(repr, slot.names))}"]
    problems = [problem for source in slot.sources for problem in _differences(slot.value, source)]
    if not problems and any(not _is_equal(slot.sources[0], source) for source in slot.sources[1:]):
        problems = [f"{kind} {' and '.join(map(repr, slot.names))} are tied, but their tensors differ"]
    return problems


def _differences(value: torch.Tensor, source: Tensor) -> list[str]:
    if tuple(value.shape) != source.storage_shape:
        return [f"{source.name!r} has the shape {list(source.storage_shape)}, not {list(value.shape)}"]
    try:
        dtype = source._torch_dtype()
    except AttachError as error:
        return [f"{source.name!r}: {error.detail}"]
    return [f"{source.name!r} has the dtype {dtype}, not {value.dtype}"] if dtype != value.dtype else []


def _is_equal(one: Tensor, other: Tensor) -> bool:
    import torch

    return torch.equal(one.raw().torch(), other.raw().torch())


def _new_value(slot: _Slot) -> torch.Tensor:
    import torch

    source = slot.sources[0]
    value = source.clone() if slot.is_copied else source.torch()
    return value if slot.is_buffer else torch.nn.Parameter(value, requires_grad=False)


def _replace(slots: list[_Slot], values: list[Any]) -> None:
    """Sets attributes, because some modules keep lists of their parameters up to date that way."""
    changed: list[tuple[torch.nn.Module, str, torch.Tensor]] = []
    try:
        for slot, value in zip(slots, values):
            for owner, attribute in slot.owners:
                changed.append((owner, attribute, slot.value))
                setattr(owner, attribute, value)
    except BaseException:
        for owner, attribute, value in reversed(changed):
            setattr(owner, attribute, value)
        raise


def _describe(slots: list[_Slot], untouched: list[str]) -> Binding:
    return Binding(
        bound=tuple(name for slot in slots if not slot.is_copied for name in slot.names),
        tied=tuple(tuple(slot.names) for slot in slots if len(slot.names) > 1),
        cloned_buffers=tuple(name for slot in slots if slot.is_buffer for name in slot.names),
        cloned_misaligned=tuple(name for slot in slots if slot.is_misaligned for name in slot.names),
        untouched=tuple(untouched),
        cloned_bytes=sum(slot.sources[0].nbytes for slot in slots if slot.is_copied),
    )
