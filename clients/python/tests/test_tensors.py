"""Tensors of attached shards in numpy and torch: equal to the file, read-only, and alive as long as a view is."""

from __future__ import annotations

import copy
import gc
import importlib.util
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any, Callable
from unittest import mock

from tests.worker import DEVICES, UUIDS, Worker, gguf, safetensors, until
from vram_residency import AttachError, Client, Lease, NoSuchTensorError, Tensor, TensorError
from vram_residency._memory import Connection, _get_pointer

HAS_NUMPY = importlib.util.find_spec("numpy") is not None
HAS_TORCH = importlib.util.find_spec("torch") is not None
BYTES = random.Random(5).randbytes(1 << 16)

# A type, its bytes for each element, and the size of each array element. Values are random bytes.
PLAIN = {"U8": 1, "I8": 1, "U16": 2, "I16": 2, "U32": 4, "I32": 4, "U64": 8, "I64": 8, "F16": 2, "F32": 4, "F64": 8}
FLOATS = {"BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "F8_E8M0": 1}
FILE = safetensors(
    {
        **{name: (name, [4, 3], BYTES[: 12 * size]) for name, size in {**PLAIN, **FLOATS}.items()},
        "C64": ("C64", [3], BYTES[:24]),
        "BOOL": ("BOOL", [4], b"\0\1\1\0"),
        "scalar": ("F32", [], BYTES[:4]),
        "empty": ("F32", [0, 3], b""),
        "F4": ("F4", [2, 6], BYTES[:6]),
        "F6_E2M3": ("F6_E2M3", [4], BYTES[:3]),
        "misaligned": ("F32", [2], BYTES[:8]),
        "end": ("U8", [0], b""),
    },
    {"format": "pt"},
)
GGUF = gguf({"q": (12, [512, 3], BYTES[: 3 * 288]), "f": (0, [4, 2], BYTES[:32]), "b": (30, [8], BYTES[:16])})


def killed_by(action: Callable[[], Any]) -> int:
    """Runs an action in a child process. Returns the signal that ended it, or 0."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            for number in (signal.SIGSEGV, signal.SIGBUS):
                signal.signal(number, signal.SIG_DFL)
            action()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


class TensorTest(unittest.TestCase):
    worker: Worker
    client: Client
    lease: Lease

    @classmethod
    def setUpClass(cls) -> None:
        cls.worker = Worker()
        cls.worker.commit("file", FILE)
        cls.worker.commit("gguf", GGUF)
        cls.client = cls.worker.connect()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.client.close()
        cls.worker.close()

    def setUp(self) -> None:
        self.lease = self.client.attach("file")

    def tearDown(self) -> None:
        self.lease.close()
        del self.lease
        gc.collect()
        until(lambda: self.worker.leases() == 0, "no view of the test is left")

    def tensor(self, name: str) -> Tensor:
        return self.lease.tensors[name]


class Views(TensorTest):
    def test_tensors_have_the_bytes_of_the_file(self) -> None:
        tensors = self.lease.tensors
        self.assertEqual((tensors.format, tensors.metadata), ("safetensors", {"format": "pt"}))
        for name, tensor in tensors.items():
            self.assertEqual((tensor.name, tensor.read()), (name, FILE[tensor.offset : tensor.offset + tensor.nbytes]))
            view = tensor.memoryview()
            self.assertTrue(view.readonly)
            self.assertEqual(view, tensor.read())
            self.assertEqual(tensor.address - self.lease.address, tensor.offset)
        self.assertIn("F32", tensors)
        self.assertNotIn("missing", tensors)
        with self.assertRaises(NoSuchTensorError) as caught:
            tensors["missing"]
        self.assertIsInstance(caught.exception, KeyError)
        self.assertEqual(str(caught.exception), "NO_SUCH_TENSOR: the shard has no tensor 'missing'")

    def test_a_view_outlives_its_lease_object_and_its_client(self) -> None:
        client = self.worker.connect()
        lease = client.attach("file")
        tensor = lease.tensor("F32")
        view = tensor.memoryview()
        self.assertFalse(lease.close(), "a view is alive")
        client.close()
        del lease, client
        gc.collect()
        self.assertEqual((view, tensor.read()), (BYTES[:48], BYTES[:48]))
        self.assertEqual(self.worker.leases(), 2)
        del view
        self.assertEqual(self.worker.leases(), 2)
        del tensor
        until(lambda: self.worker.leases() == 1, "the lease ends with its last view")

    def test_views_can_be_made_from_a_tensor_after_its_lease_was_closed(self) -> None:
        lease = self.client.attach("file")
        tensors = lease.tensors
        self.assertFalse(lease.close())
        self.assertEqual(tensors["F64"].memoryview(), BYTES[:96])

    def test_a_write_through_a_view_ends_in_sigsegv(self) -> None:
        import ctypes

        address = self.tensor("F32").address
        self.assertEqual(killed_by(lambda: ctypes.string_at(address, 1)), 0)
        self.assertEqual(killed_by(lambda: ctypes.memset(address, 0, 1)), signal.SIGSEGV)
        self.assertEqual(self.tensor("F32").read(), BYTES[:48])
        with self.assertRaises(TypeError):
            self.tensor("F32").memoryview()[0] = 0

    def test_capsules_that_no_library_takes_are_deleted(self) -> None:
        lease = self.client.attach("file")
        tensor = lease.tensor("F32")
        for version in (None, (0, 8), (1, 0), (2, 5)):
            capsule = tensor.__dlpack__(max_version=version)
            self.assertIn("dltensor_versioned" if version and version[0] else '"dltensor"', repr(capsule))
        kept = tensor.__dlpack__()
        for _ in range(10):
            tensor.__dlpack__()
        # Two are alive, and the newest is found by the next call.
        self.assertLessEqual(len(tensor._memory._capsules), 3)
        del capsule, kept, tensor, lease
        until(lambda: self.worker.leases() == 1, "the capsules do not keep the lease")

    def test_a_consumer_of_dlpack_1_learns_that_the_memory_is_read_only(self) -> None:
        import ctypes

        capsule = self.tensor("F32").__dlpack__(max_version=(1, 1))
        pointer = _get_pointer(capsule, b"dltensor_versioned")
        version, flags = ctypes.c_uint32.from_address(pointer), ctypes.c_uint64.from_address(pointer + 24)
        self.assertEqual((version.value, flags.value), (1, 1))

    def test_leases_and_tensors_are_not_copied_to_another_process(self) -> None:
        for each in (self.lease, self.client, self.tensor("F32"), self.lease.tensors):
            for copied in (copy.deepcopy, pickle.dumps):
                with self.assertRaisesRegex(TypeError, "attach"):
                    copied(each)

    def test_dlpack_refuses_what_it_cannot_do(self) -> None:
        tensor = self.tensor("F32")
        self.assertEqual(tensor.__dlpack_device__(), (1, 0))
        tensor.__dlpack__(stream=None, dl_device=(1, 0), copy=False)
        for options in ({"dl_device": (2, 0)}, {"copy": True}):
            with self.assertRaises(BufferError):
                tensor.__dlpack__(**options)
        self.assertFalse(self.tensor("misaligned").is_aligned)
        with self.assertRaises(BufferError):
            self.tensor("misaligned").__dlpack__()
        self.tensor("misaligned").raw().__dlpack__()

    def test_a_host_tensor_has_no_cuda_array_interface(self) -> None:
        self.assertFalse(hasattr(self.tensor("F32"), "__cuda_array_interface__"))

    def test_on_a_gpu_the_header_is_read_by_the_driver_and_views_stay_on_the_device(self) -> None:
        # The client takes the memory for a GPU's. Every read then goes through the driver.
        with mock.patch.object(Connection, "is_host_memory", False, create=True):
            client = self.worker.connect()
            client._open().is_host_memory = False
            lease = client.attach("file")
            tensor = lease.tensor("F32")
            self.assertEqual(tensor.read(), BYTES[:48])
            self.assertEqual(tensor.__dlpack_device__(), (2, lease.device))
            expected = {
                "shape": (4, 3),
                "typestr": "<f4",
                "data": (tensor.address, True),
                "strides": None,
                "version": 3,
            }
            self.assertEqual(tensor.__cuda_array_interface__, expected)
            for name in ("BF16", "misaligned"):
                self.assertFalse(hasattr(lease.tensor(name), "__cuda_array_interface__"), name)
            for call in (tensor.memoryview, *([tensor.numpy] if HAS_NUMPY else [])):
                with self.assertRaises(TensorError) as caught:
                    call()
                self.assertEqual(caught.exception.code, "NOT_HOST_MEMORY")
            client.close()


@unittest.skipUnless(HAS_NUMPY, "numpy is not installed")
class Numpy(TensorTest):
    def test_arrays_are_equal_to_the_file_and_read_only(self) -> None:
        import numpy

        for name, size in PLAIN.items():
            array = self.tensor(name).numpy()
            self.assertEqual((array.shape, array.itemsize, array.tobytes()), ((4, 3), size, BYTES[: 12 * size]))
            self.assertFalse(array.flags.writeable)
            with self.assertRaises(ValueError):
                array.flags.writeable = True
            with self.assertRaises(ValueError):
                array[0, 0] = 1
        self.assertEqual(self.tensor("BOOL").numpy().tolist(), [False, True, True, False])
        self.assertEqual(self.tensor("C64").numpy().dtype, numpy.complex64)
        self.assertEqual((self.tensor("scalar").numpy().shape, self.tensor("empty").numpy().shape), ((), (0, 3)))

    def test_types_that_numpy_does_not_have_are_named(self) -> None:
        for name, size in FLOATS.items():
            with self.assertRaises(TensorError) as caught:
                self.tensor(name).numpy()
            self.assertEqual(caught.exception.code, "UNSUPPORTED_DTYPE")
            self.assertIn(name, str(caught.exception))
            self.assertEqual(self.tensor(name).raw().numpy().tobytes(), BYTES[: 12 * size])
        self.assertEqual((self.tensor("F4").numpy().shape, self.tensor("F4").numpy().itemsize), ((2, 3), 1))
        self.assertEqual(self.tensor("F6_E2M3").numpy().tobytes(), BYTES[:3])

    def test_a_misaligned_tensor_is_a_misaligned_array(self) -> None:
        array = self.tensor("misaligned").numpy()
        self.assertFalse(array.flags.aligned)
        self.assertEqual(array.tobytes(), BYTES[:8])

    def test_quantized_gguf_tensors_are_blocks(self) -> None:
        with self.client.attach("gguf") as lease:
            quantized = lease.tensor("q")
            self.assertEqual((quantized.dtype.name, quantized.shape), ("Q4_K", (3, 512)))
            self.assertEqual((quantized.numpy().shape, quantized.numpy().tobytes()), ((3, 288), BYTES[: 3 * 288]))
            self.assertEqual(lease.tensor("f").numpy().tobytes(), BYTES[:32])
            self.assertEqual(lease.tensor("f").numpy().shape, (2, 4))
            del quantized

    def test_arrays_of_every_kind_keep_the_lease(self) -> None:
        import numpy

        lease = self.client.attach("file")
        tensor = lease.tensor("F32")
        views = [
            tensor.numpy()[1:, ::2].T,
            numpy.from_dlpack(tensor)[2:],
            numpy.asarray(tensor.memoryview())[5:9],
            memoryview(tensor.numpy())[1:],
        ]
        self.assertFalse(views[1].flags.writeable)
        del tensor
        lease.close()
        del lease
        while views:
            gc.collect()
            self.assertEqual(self.worker.leases(), 2)
            bytes(views.pop())
        until(lambda: self.worker.leases() == 1, "the lease ends with its last array")


@unittest.skipUnless(HAS_TORCH, "torch is not installed")
class Torch(TensorTest):
    def test_tensors_are_equal_to_the_file(self) -> None:
        import torch

        for name, size in {**PLAIN, **FLOATS}.items():
            tensor = self.tensor(name)
            if not hasattr(torch, tensor.dtype.torch or ""):
                with self.assertRaises(TensorError) as caught:
                    tensor.torch()
                self.assertEqual(caught.exception.code, "UNSUPPORTED_DTYPE")
                self.assertEqual(bytes(tensor.raw().torch().tolist()), BYTES[: 12 * size])
                continue
            found = tensor.torch()
            self.assertEqual((tuple(found.shape), found.data_ptr()), ((4, 3), tensor.address))
            self.assertEqual(found.dtype, getattr(torch, tensor.dtype.torch or ""))
            self.assertEqual(bytes(found.flatten().view(torch.uint8).tolist()), BYTES[: 12 * size])
            self.assertTrue(torch.equal(tensor.clone().view(torch.uint8), found.view(torch.uint8)))
        self.assertEqual(self.tensor("BOOL").torch().tolist(), [False, True, True, False])
        self.assertEqual(tuple(self.tensor("scalar").torch().shape), ())
        self.assertEqual(tuple(self.tensor("empty").torch().shape), (0, 3))
        self.assertEqual(self.tensor("F4").torch().dtype, torch.uint8)

    def test_a_misaligned_tensor_must_be_cloned(self) -> None:
        with self.assertRaises(TensorError) as caught:
            self.tensor("misaligned").torch()
        self.assertEqual(caught.exception.code, "MISALIGNED")
        clone = self.tensor("misaligned").clone()
        self.assertEqual((clone.data_ptr() % 4, clone.numpy().tobytes()), (0, BYTES[:8]))
        clone += 1

    def test_a_write_to_a_weight_ends_in_sigsegv(self) -> None:
        weight = self.tensor("F32").torch()
        self.assertEqual(killed_by(lambda: weight.sum()), 0)
        self.assertEqual(killed_by(lambda: weight.add_(1)), signal.SIGSEGV)
        self.assertEqual(killed_by(lambda: weight.zero_()), signal.SIGSEGV)
        self.assertEqual(self.tensor("F32").read(), BYTES[:48])
        clone = self.tensor("F32").clone()
        self.assertEqual(killed_by(lambda: clone.zero_()), 0)

    def test_dlpack_gives_the_same_memory(self) -> None:
        import torch

        for name in ("F32", "BF16", "I64", "U8", "F4"):
            tensor = self.tensor(name)
            found = torch.from_dlpack(tensor)
            self.assertEqual((found.data_ptr(), tuple(found.shape)), (tensor.address, tensor.storage_shape))
            self.assertTrue(torch.equal(found.view(torch.uint8), tensor.torch().view(torch.uint8)))
        capsule = self.tensor("F32").__dlpack__()
        taken = torch.utils.dlpack.from_dlpack(capsule)
        del capsule
        self.assertEqual(taken.numpy().tobytes(), BYTES[:48])

    def test_views_of_every_kind_keep_the_lease(self) -> None:
        import torch

        lease = self.client.attach("file")
        tensor = lease.tensor("F32")
        views = [
            tensor.torch()[1:].T,
            torch.from_dlpack(tensor)[2:],
            torch.nn.Parameter(tensor.torch()),
            tensor.torch().numpy()[1:],
        ]
        del tensor
        lease.close()
        del lease
        while views:
            gc.collect()
            self.assertEqual(self.worker.leases(), 2)
            views.pop().sum()
        until(lambda: self.worker.leases() == 1, "the lease ends with its last tensor")

    def test_an_exception_survives_the_end_of_views(self) -> None:
        import torch

        def fail() -> None:
            taken = torch.from_dlpack(self.client.attach("file").tensor("F32"))
            own = self.client.attach("file").tensor("F32").torch()
            raise KeyError(float(taken.sum() + own.sum()))

        for _ in range(20):
            self.assertRaises(KeyError, fail)

    def test_tensors_end_in_any_thread(self) -> None:
        import threading

        import torch

        kept = [torch.from_dlpack(self.client.attach("file").tensor("F32")) for _ in range(40)]
        threads = [threading.Thread(target=lambda: [kept.pop() for _ in range(10)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: self.worker.leases() == 1, "the tensors' leases have ended")

    def test_an_interpreter_with_tensors_ends_in_order(self) -> None:
        program = """
import sys, torch, vram_residency
lease = vram_residency.attach("file", socket=sys.argv[1])
tensor = lease.tensors["F32"]
one, two = tensor.torch(), torch.from_dlpack(tensor)
parameter = torch.nn.Parameter(tensor.torch())
sys.modules["kept"] = [one, two, parameter, lease]
print(one.numel())
"""
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1]), "CUDA_SIM_DEVICES": DEVICES}
        command = [sys.executable, "-c", program, str(self.worker.socket)]
        run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200)
        self.assertEqual((run.returncode, run.stderr, run.stdout), (0, "", "12\n"))

    def test_the_engine_reads_on_when_the_worker_is_killed(self) -> None:
        worker = Worker()
        worker.commit("file", FILE)
        client = worker.connect()
        weight = client.attach("file", gpu_uuid=UUIDS[0]).tensor("F64").torch()
        worker.kill()
        client.wait(5)
        self.assertEqual(weight.numpy().tobytes(), BYTES[:96])
        with self.assertRaises(AttachError):
            client.attach("file")
        worker.close()
        self.assertEqual(weight.numpy().tobytes(), BYTES[:96])


if __name__ == "__main__":
    unittest.main()
