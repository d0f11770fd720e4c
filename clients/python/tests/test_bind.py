"""Torch modules whose parameters are views of attached shards."""

from __future__ import annotations

import gc
import importlib.util
import unittest
from typing import TYPE_CHECKING, Any

from tests.worker import Worker, safetensors, until
from vram_residency import BindError, Client, Lease, bind

HAS_TORCH = importlib.util.find_spec("torch") is not None and importlib.util.find_spec("numpy") is not None
if HAS_TORCH or TYPE_CHECKING:
    import torch
    from torch import nn

    class Block(nn.Module):
        """Two layers, a norm with buffers, an embedding and an output layer that share a weight."""

        def __init__(self, dtype: torch.dtype = torch.float32, tied: bool = True) -> None:
            super().__init__()
            self.embed = nn.Embedding(32, 8, dtype=dtype)
            self.layers = nn.ModuleList(nn.Linear(8, 8, dtype=dtype) for _ in range(2))
            self.norm = nn.BatchNorm1d(8, dtype=dtype)
            self.output = nn.Linear(8, 32, bias=False, dtype=dtype)
            if tied:
                self.output.weight = self.embed.weight
            self.register_buffer("positions", torch.arange(4), persistent=False)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            hidden = self.embed(tokens)
            for layer in self.layers:
                hidden = torch.relu(layer(hidden)) + hidden
            output: torch.Tensor = self.output(self.norm(hidden))
            return output


def file_of(module: nn.Module, skip: tuple[str, ...] = (), shift: int = 0, prefix: str = "") -> bytes:
    """A safetensors file of a module's state."""
    names = {torch.float32: "F32", torch.bfloat16: "BF16", torch.int64: "I64", torch.float16: "F16"}
    state = {name: value for name, value in module.state_dict().items() if name not in skip}
    return safetensors(
        {prefix + name: (names[value.dtype], list(value.shape), bytes_of(value)) for name, value in state.items()},
        shift=shift,
    )


def bytes_of(value: torch.Tensor) -> bytes:
    return value.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


@unittest.skipUnless(HAS_TORCH, "torch or numpy is not installed")
class Bind(unittest.TestCase):
    worker: Worker
    client: Client

    @classmethod
    def setUpClass(cls) -> None:
        torch.manual_seed(11)
        cls.worker = Worker()
        cls.client = cls.worker.connect()
        cls.model = Block().eval()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.client.close()
        cls.worker.close()

    def tearDown(self) -> None:
        gc.collect()
        for shard in self.client.shards():
            until(lambda: self.worker.leases() == 0, "no view of the test is left")
            self.worker.request("DELETE", f"/v1/shards/{shard.shard_id}")

    def attach(self, content: bytes, name: str = "model") -> Lease:
        self.worker.commit(name, content)
        return self.client.attach(name)

    def assert_not_bound(self, module: nn.Module, leases: Any, *problems: str, **options: Any) -> None:
        before = {name: (value, bytes_of(value)) for name, value in module.state_dict(keep_vars=True).items()}
        with self.assertRaises(BindError) as caught:
            bind(module, leases, **options)
        text = "\n".join(caught.exception.problems)
        for problem in problems:
            self.assertRegex(text, problem)
        self.assertEqual(len(caught.exception.problems), len(problems), text)
        self.assertEqual(caught.exception.code, "BIND_FAILED")
        for name, value in module.state_dict(keep_vars=True).items():
            self.assertIs(value, before[name][0], name)
            self.assertEqual(bytes_of(value), before[name][1], name)

    def test_the_output_is_identical_to_that_of_the_file(self) -> None:
        original = Block().eval()
        tokens = torch.randint(0, 32, (5,))
        expected = original(tokens)
        with self.attach(file_of(original, skip=("output.weight",))) as lease:
            tensors = lease.tensors
            for device in ("cpu", "meta"):
                module = Block().eval().to(device)
                module.output.weight = module.embed.weight  # to() unties them
                binding = bind(module, lease)
                self.assertTrue(torch.equal(module(tokens), expected))
                self.assertEqual(binding.tied, (("embed.weight", "output.weight"),))
                self.assertIs(module.embed.weight, module.output.weight)
                parameters = dict(module.named_parameters())
                self.assertEqual(set(binding.bound), {*parameters, "output.weight"})
                for name, parameter in parameters.items():
                    self.assertEqual(parameter.data_ptr(), tensors[name].address, name)
                    self.assertFalse(parameter.requires_grad)
                norm = {f"norm.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
                self.assertEqual((set(binding.cloned_buffers), binding.untouched), (norm, ("positions",)))
                self.assertEqual((binding.cloned_misaligned, binding.cloned_bytes), ((), 8 * 4 * 2 + 8))
            del tensors

    def test_buffers_are_private_and_can_be_written(self) -> None:
        with self.attach(file_of(Block(), skip=("output.weight",))) as lease:
            module = Block()
            bind(module, lease)
            module.train()
            module(torch.randint(0, 32, (5,)))
            self.assertEqual(int(module.norm.num_batches_tracked), 1)
            tensor = lease.tensor("norm.running_mean")
            self.assertNotEqual(module.norm.running_mean.data_ptr(), tensor.address)
            self.assertEqual(tensor.read(), bytes(32))
            del tensor

    def test_parameters_keep_the_lease(self) -> None:
        original = nn.Linear(4, 4)
        lease = self.attach(file_of(original))
        module = nn.Linear(4, 4)
        bind(module, lease)
        self.assertFalse(lease.close())
        del lease
        gc.collect()
        self.assertTrue(torch.equal(module.weight, original.weight))
        self.assertEqual(self.worker.leases(), 1)
        del module
        until(lambda: self.worker.leases() == 0, "the lease ends with the module")

    def test_misaligned_parameters_are_cloned_and_reported(self) -> None:
        original = Block().eval()
        with self.attach(file_of(original, skip=("output.weight",), shift=2)) as lease:
            module = Block().eval()
            binding = bind(module, lease)
            tokens = torch.randint(0, 32, (5,))
            self.assertTrue(torch.equal(module(tokens), original(tokens)))
            self.assertEqual(binding.bound, ())
            parameters = dict(module.named_parameters())
            self.assertEqual(set(binding.cloned_misaligned), {*parameters, "output.weight"})
            self.assertTrue(all(parameter.data_ptr() % 4 == 0 for parameter in parameters.values()))
            self.assertIs(module.embed.weight, module.output.weight)
            self.assertGreater(binding.cloned_bytes, 32 * 8 * 4)

    def test_every_difference_is_reported_and_nothing_is_changed(self) -> None:
        module = Block()
        state = file_of(Block(), skip=("output.weight", "layers.1.bias", "norm.running_var"))
        with self.attach(state, "missing") as lease:
            self.assert_not_bound(
                module, lease, "missing tensor for parameter 'layers.1.bias'", "missing .* buffer 'norm.running_var'"
            )
            self.assert_not_bound(
                nn.Linear(8, 8), lease, *["missing"] * 2, *[f"unexpected tensor {name!r}" for name in lease.tensors]
            )
        extra = safetensors({"weight": ("F32", [4, 4], bytes(64)), "extra": ("F32", [1], bytes(4))})
        with self.attach(extra, "extra") as lease:
            self.assert_not_bound(nn.Linear(4, 4, bias=False), lease, "unexpected tensor 'extra'")
            self.assert_not_bound(nn.Linear(8, 2, bias=False), lease, r"\[4, 4\], not \[2, 8\]", "unexpected")
            self.assert_not_bound(nn.Linear(4, 4, bias=False).half(), lease, "float32, not torch.float16", "unexpected")
        kinds = safetensors({"weight": ("F8_E8M0", [4, 4], bytes(16))})
        with self.attach(kinds, "kinds") as lease:
            self.assert_not_bound(nn.Linear(4, 4, bias=False), lease, "'weight'")

    def test_parameters_without_a_shape_and_of_other_classes_are_refused(self) -> None:
        class Packed(nn.Parameter):
            pass

        with self.attach(safetensors({"weight": ("F32", [4, 4], bytes(64))})) as lease:
            packed = nn.Linear(4, 4, bias=False)
            packed.weight = Packed(packed.weight.data)
            self.assert_not_bound(packed, lease, "is a Packed")
            with self.assertRaisesRegex(BindError, "has no shape yet"):
                bind(nn.LazyLinear(4, bias=False), lease)

    def test_tied_parameters_with_several_tensors_must_be_equal(self) -> None:
        original = Block()
        with self.attach(file_of(original), "equal") as lease:
            module = Block()
            bind(module, lease)
            self.assertIs(module.embed.weight, module.output.weight)
            self.assertTrue(torch.equal(module.output.weight, original.embed.weight))
        del module
        with self.attach(file_of(Block(tied=False)), "different") as lease:
            self.assert_not_bound(Block(), lease, "'embed.weight' and 'output.weight' are tied")
            module = Block(tied=False)
            bind(module, lease)
            self.assertIsNot(module.embed.weight, module.output.weight)

    def test_a_model_of_several_shards_is_bound_at_once(self) -> None:
        original = Block()
        first = tuple(name for name in original.state_dict() if not name.startswith("layers"))
        second = tuple(name for name in original.state_dict() if name.startswith("layers"))
        one = self.attach(file_of(original, skip=(*second, "output.weight"), prefix="model."), "one")
        two = self.attach(file_of(original, skip=first, prefix="model."), "two")
        module = Block()
        self.assert_not_bound(module, one, *["missing"] * 4, prefix="model.")
        self.assert_not_bound(module, [one, two, two], *["two shards have the tensor"] * 4, prefix="model.")
        bind(module, [one, two], prefix="model.")
        self.assertTrue(torch.equal(module.layers[1].weight, original.layers[1].weight))
        one.close()
        two.close()

    def test_a_failure_in_the_middle_restores_the_module(self) -> None:
        class Stubborn(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first = nn.Parameter(torch.zeros(2))
                self.second = nn.Parameter(torch.zeros(2))
                self.is_frozen = True

            def __setattr__(self, name: str, value: Any) -> None:
                if name == "second" and getattr(self, "is_frozen", False) and not value.requires_grad:
                    raise RuntimeError("no")
                super().__setattr__(name, value)

        content = safetensors({"first": ("F32", [2], b"\1" * 8), "second": ("F32", [2], b"\1" * 8)})
        with self.attach(content) as lease:
            module = Stubborn()
            first, second = module.first, module.second
            self.assertRaises(RuntimeError, bind, module, lease)
            self.assertIs(module.first, first)
            self.assertIs(module.second, second)

    def test_recurrent_modules_and_half_precision_are_bound(self) -> None:
        original = nn.LSTM(4, 4, num_layers=2).eval()
        inputs = torch.randn(3, 1, 4)
        with self.attach(file_of(original), "lstm") as lease:
            module = nn.LSTM(4, 4, num_layers=2).eval()
            bind(module, lease)
            self.assertTrue(torch.equal(module(inputs)[0], original(inputs)[0]))
            del module
        half = Block(torch.bfloat16).eval()
        with self.attach(file_of(half, skip=("output.weight",)), "half") as lease:
            module = Block(torch.bfloat16).eval()
            bind(module, lease)
            self.assertEqual(bytes_of(module.layers[0].weight), bytes_of(half.layers[0].weight))


if __name__ == "__main__":
    unittest.main()
