"""Runs a two-layer model on an attached shard, and compares it with the same model loaded from its file.

    python3 example.py make FILE
    python3 example.py run SOCKET DRIVER SHARD_ID FILE

DRIVER is libcuda.so.1, or libcuda_sim.so of a simulated worker.
"""

from __future__ import annotations

import json
import sys

import torch

import vram_residency


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(64, 256)
        self.second = torch.nn.Linear(256, 64)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.second(torch.relu(self.first(inputs)))
        return output


def make(path: str) -> None:
    """Writes a safetensors file. A model has one already."""
    state = {name: value.numpy().tobytes() for name, value in Model().state_dict().items()}
    header, end = {}, 0
    for name, value in Model().state_dict().items():
        size = len(state[name])
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(state.values()))


def load(path: str) -> Model:
    """The model, with a copy of the file's weights."""
    with open(path, "rb") as file:
        content = bytearray(file.read())
    header = vram_residency.read_header(lambda offset, count: bytes(content[offset : offset + count]), len(content))
    state = {
        tensor.name: torch.frombuffer(content, dtype=torch.float32, count=tensor.nbytes // 4, offset=tensor.offset)
        for tensor in header.tensors.values()
    }
    model = Model()
    model.load_state_dict({name: state[name].view(tensor.shape) for name, tensor in header.tensors.items()})
    return model


def run(socket: str, driver: str, shard_id: str, path: str) -> None:
    with vram_residency.attach(shard_id, socket=socket, driver=driver) as lease:
        print("tensors", ", ".join(f"{tensor.name} {tensor.dtype}" for tensor in lease.tensors.values()))
        model = Model()
        binding = vram_residency.bind(model, lease)
        print("bound", len(binding.bound), "parameters, copied", binding.cloned_bytes, "bytes")
        print("receipt for", lease.receipt_claims["tree_digest"])
    # The parameters are views: the memory stays, although the lease was closed.
    device = model.first.weight.device
    inputs = torch.ones(2, 64)
    with torch.no_grad():
        same = torch.equal(model(inputs.to(device)), load(path).to(device)(inputs.to(device)))
    print("same output as from the file:", same)


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"] and len(sys.argv) == 3:
        make(sys.argv[2])
    elif sys.argv[1:2] == ["run"] and len(sys.argv) == 6:
        run(*sys.argv[2:])
    else:
        sys.exit(__doc__)
