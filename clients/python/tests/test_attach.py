"""Connections, leases and events, with workers that are killed, restarted, and refuse."""

from __future__ import annotations

import gc
import os
import pickle
import random
import select
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
from pathlib import Path
from typing import Any, Optional

import vram_residency
from tests.worker import DEVICES, UUIDS, Worker, safetensors, until
from vram_residency import AttachError, Client, Event, EventType, Lease, LeaseState, RefusedError

CONTENT = random.Random(3).randbytes(5_000_003)
FILE = safetensors({"x": ("U8", [1000], CONTENT[:1000])})


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def wait_for(client: Client, kind: EventType) -> Event:
    """Takes events until one of a kind comes."""
    found: list[Event] = []

    def look() -> Optional[Event]:
        found.extend(client.wait(0.2))
        return next((event for event in found if event.type == kind), None)

    event: Event = until(look, f"{kind} arrives")
    return event


def break_connection() -> None:
    """Shuts down the sockets of this process that are connected to a path."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as connection:
                if connection.family == socket.AF_UNIX:
                    connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue


class Attach(unittest.TestCase):
    worker: Worker

    @classmethod
    def setUpClass(cls) -> None:
        # A verification in the background would be an event that the tests do not expect.
        cls.worker = Worker(CUDA_SIM_DIR="{directory}", WORKER_VERIFY_AFTER_LEASE="off")
        cls.worker.commit("a", CONTENT, model_ref="m")
        cls.worker.commit("file", FILE, model_ref="m", shard_index="1", total_shards="2")
        cls.worker.commit("private", b"x" * 100, exportable="false")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.worker.close()

    def setUp(self) -> None:
        # What an earlier test left, in a cycle or with a connection that the worker has not seen to end.
        gc.collect()
        self.assert_no_lease()

    def assert_refused(self, code: str, call: Any, kind: type[AttachError] = AttachError) -> AttachError:
        with self.assertRaises(kind) as caught:
            call()
        self.assertEqual(caught.exception.code, code, str(caught.exception))
        return caught.exception

    def assert_no_lease(self, worker: Optional[Worker] = None) -> None:
        until(lambda: (worker or self.worker).leases() == 0, "all leases have ended")

    def test_a_lease_has_the_sealed_bytes_and_a_receipt(self) -> None:
        with self.worker.connect(client_name="test/1") as client:
            shard = next(each for each in client.shards() if each.shard_id == "a")
            self.assertEqual((shard.vram_bytes, shard.state, shard.exportable), (len(CONTENT), "sealed", True))
            self.assertEqual([each.shard_id for each in client.shards(gpu_uuid=UUIDS[1])], [])
            found = client.worker
            self.assertEqual((found.driver, found.simulated, found.connected), ("simulated", True, True))
            with client.attach("a", nonce="n-1", expected_tree_digest=shard.tree_digest, label="rank 0") as lease:
                self.assertEqual((lease.nbytes, lease.device, lease.state), (len(CONTENT), 0, LeaseState.ACTIVE))
                self.assertEqual(lease.read(), CONTENT)
                self.assertEqual(lease.read(len(CONTENT) - 1), CONTENT[-1:])
                self.assertEqual(lease.read(10, 0), b"")
                claims = lease.receipt_claims
                self.assertEqual((claims["nonce"], claims["shard_id"], claims["gpu_uuid"]), ("n-1", "a", UUIDS[0]))
                self.assertEqual(claims["lease_id"], lease.lease_id)
                self.assertEqual(lease.handle.count("."), 2)
                self.assertEqual(self.worker.leases(), 1)
            self.assertTrue(lease.closed)
            self.assertEqual(lease.state, LeaseState.CLOSED)
            self.assert_no_lease()

    def test_a_shard_is_found_by_model_and_index(self) -> None:
        with self.worker.connect() as client, client.attach(model_ref="m", shard_index=1) as lease:
            self.assertEqual((lease.shard_id, lease.read()), ("file", FILE))

    def test_one_call_attaches_and_its_lease_ends_the_connection(self) -> None:
        before = descriptors()
        with vram_residency.attach("a", socket=self.worker.socket, max_age_seconds=3600) as lease:
            self.assertEqual(lease.read(0, 4), CONTENT[:4])
        self.assertTrue(lease.client.closed)
        del lease
        self.assertEqual(descriptors(), before)

    def test_reads_outside_the_shard_are_refused(self) -> None:
        with self.worker.connect() as client, client.attach("a") as lease:
            for offset, count in ((-1, 1), (0, -1), (0, len(CONTENT) + 1), (len(CONTENT), 1), (2**63, 1), (1, 2**64)):
                with self.assertRaises(IndexError, msg=f"{offset} {count}"):
                    lease.read(offset, count)
                with self.assertRaises(IndexError):
                    lease.raw(offset, count)

    def test_refusals_have_the_code_of_the_worker(self) -> None:
        with self.worker.connect() as client:
            self.assert_refused("NOT_FOUND", lambda: client.attach("missing"), RefusedError)
            self.assert_refused("NOT_EXPORTABLE", lambda: client.attach("private"), RefusedError)
            digest = "sha256:" + "0" * 64
            wrong = self.assert_refused("DIGEST_MISMATCH", lambda: client.attach("a", expected_tree_digest=digest))
            self.assertFalse(wrong.retriable)
            self.assert_refused("DEVICE_MISMATCH", lambda: client.attach("a", gpu_uuid=UUIDS[1]))
            unknown = "GPU-00000000-0000-0000-0000-000000000000"
            self.assert_refused("DEVICE_NOT_FOUND", lambda: client.attach("a", gpu_uuid=unknown))
            self.assert_refused("INVALID_ARGUMENT", lambda: client.attach("a\nlabel=x"))
            with client.attach("a") as lease:
                self.assertEqual(lease.read(0, 3), CONTENT[:3], "the connection is usable after refusals")

    def test_invalid_arguments_are_refused_here(self) -> None:
        with self.worker.connect() as client:
            for call in (
                lambda: client.attach(),
                lambda: client.attach("a", model_ref="m"),
                lambda: client.attach(b"a"),
            ):
                self.assertRaises(TypeError, call)
            for call in (
                lambda: client.attach("a\0"),
                lambda: client.attach("a", max_age_seconds=-1),
                lambda: client.attach(model_ref="m", shard_index=2**32),
                lambda: vram_residency.connect(self.worker.socket, timeout=0),
                lambda: vram_residency.connect(self.worker.socket, timeout=float("inf")),
                lambda: vram_residency.connect(self.worker.socket, timeout=float("nan")),
            ):
                self.assertRaises(ValueError, call)

    def test_a_closed_client_or_lease_says_so(self) -> None:
        client = self.worker.connect()
        lease = client.attach("a")
        client.close()
        client.close()
        self.assertTrue(lease.closed and client.closed and lease.close())
        for call in (client.events, client.fileno, client.shards, lambda: client.attach("a"), lambda: client.wait(0)):
            self.assert_refused("CLOSED", call)
        for call in (lease.read, lambda: lease.tensors, lambda: lease.address, lambda: lease.receipt):
            self.assert_refused("CLOSED", call)
        self.assert_no_lease()

    def test_a_socket_library_or_driver_that_is_missing_has_its_own_code(self) -> None:
        missing = lambda **options: vram_residency.connect(**{"socket": self.worker.socket, **options})  # noqa: E731
        error = self.assert_refused("NOT_CONNECTED", lambda: missing(socket="/nowhere/attach.sock"))
        self.assertIsInstance(error, ConnectionError)
        self.assert_refused("LIBRARY_NOT_FOUND", lambda: missing(library="/nowhere/libvram_attach.so.1"))
        self.assert_refused("LIBRARY_NOT_FOUND", lambda: missing(library="libc.so.6"))
        self.assert_refused("DRIVER_NOT_FOUND", lambda: missing(driver="/nowhere/libcuda.so.1"))
        copy = pickle.loads(pickle.dumps(error))
        self.assertEqual((type(copy), copy.code, str(copy)), (type(error), error.code, str(error)))

    def test_a_worker_that_does_not_answer_times_out(self) -> None:
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as server:
            server.bind(f"{directory}/s")
            server.listen()
            error = self.assert_refused("TIMED_OUT", lambda: vram_residency.connect(f"{directory}/s", timeout=0.05))
            self.assertIsInstance(error, TimeoutError)

    def test_a_token_is_required_if_the_worker_has_one(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory, "token")
            file.write_text("a-token-of-32-characters-or-more-0\n")
            file.chmod(0o600)
            worker = Worker(WORKER_ATTACH_TOKEN_FILE=str(file))
            try:
                self.assert_refused("AUTH_FAILED", worker.connect, RefusedError)
                self.assert_refused("AUTH_FAILED", lambda: worker.connect(token="wrong"), RefusedError)
                worker.connect(token_file=file).close()
                worker.connect(token=file.read_text().strip()).close()
            finally:
                worker.close()

    def test_an_engine_reads_on_when_the_worker_is_killed_and_learns_of_the_next_one(self) -> None:
        worker = Worker()
        try:
            worker.commit("a", CONTENT)
            with worker.connect() as client:
                lease = client.attach("a")
                view = lease.raw().memoryview()
                worker.kill()
                event = wait_for(client, EventType.ORPHANED)
                self.assertIs(event.lease, lease)
                self.assertEqual((event.shard_id, lease.state), ("a", LeaseState.ORPHANED))
                self.assertFalse(client.worker.connected)
                self.assertEqual(view, CONTENT)
                self.assertEqual(lease.read(), CONTENT)
                error = self.assert_refused("NOT_CONNECTED", lambda: client.attach("a"))
                self.assertIsInstance(error, ConnectionError)
                worker.start()
                # Without a keeper the next worker does not have the memory.
                wait_for(client, EventType.STALE)
                self.assertEqual(lease.state, LeaseState.STALE)
                self.assertEqual(view, CONTENT)
                worker.commit("b", FILE)
                self.assertEqual(client.attach("b").read(), FILE)
        finally:
            worker.close()

    def test_a_lease_is_resumed_by_the_next_worker_if_a_keeper_held_the_memory(self) -> None:
        worker = Worker(keeper=True)
        try:
            worker.commit("a", CONTENT)
            with worker.connect() as client:
                lease = client.attach("a")
                view, boot_id, receipt = lease.raw().memoryview(), client.worker.boot_id, lease.receipt
                until(lambda: worker.is_kept(lease.allocation_id), "the keeper has the memory")
                worker.kill()
                wait_for(client, EventType.ORPHANED)
                worker.start()
                self.assertIs(wait_for(client, EventType.RESUMED).lease, lease)
                self.assertNotEqual(client.worker.boot_id, boot_id)
                self.assertEqual(lease.receipt_claims["boot_id"], client.worker.boot_id)
                self.assertNotEqual(lease.receipt, receipt)
                self.assertEqual((lease.state, worker.leases()), (LeaseState.ACTIVE, 1))
                self.assertEqual(view, CONTENT)
                self.assertEqual(client.attach("a").read(), CONTENT)
                del view
                lease.close()
            self.assert_no_lease(worker)
        finally:
            worker.close()

    def test_a_lease_is_resumed_after_its_connection_was_lost(self) -> None:
        with self.worker.connect() as client, client.attach("a") as lease:
            receipt = lease.receipt
            break_connection()
            wait_for(client, EventType.ORPHANED)
            self.assertEqual(lease.read(0, 9), CONTENT[:9])
            event = wait_for(client, EventType.RESUMED)
            self.assertIs(event.lease, lease)
            self.assertEqual(lease.state, LeaseState.ACTIVE)
            self.assertNotEqual(lease.receipt, receipt)
            self.assertEqual(self.worker.leases(), 1)

    def test_events_arrive_through_a_descriptor(self) -> None:
        with self.worker.connect() as client, client.attach("a") as lease:
            self.assertEqual((client.events(), client.wait(0)), ([], []))
            self.assertEqual(select.select([client], [], [], 0)[0], [])
            self.worker.request("POST", "/v1/shards/a/verify")
            self.assertEqual(select.select([client], [], [], 100)[0], [client])
            event = wait_for(client, EventType.VERIFIED)
            self.assertEqual((event.lease, event.shard_id, event.deadline_ms), (lease, "a", 0))

    def test_a_release_by_force_reports_the_deadline(self) -> None:
        self.worker.commit("forced", FILE)
        with self.worker.connect() as client:
            lease = client.attach("forced")
            self.worker.request("DELETE", "/v1/shards/forced?force=true&grace_seconds=300")
            event = wait_for(client, EventType.RELEASING)
            self.assertIs(event.lease, lease)
            self.assertTrue(0 < event.deadline_ms <= 300_000)
            self.assertEqual(lease.read(), FILE)
            self.assertTrue(lease.close())

    def test_a_corrupt_shard_is_reported_and_cannot_be_attached(self) -> None:
        content = random.Random(4).randbytes(1 << 20)
        self.worker.commit("damaged", content)
        with self.worker.connect() as client, client.attach("damaged") as lease:
            self.worker.damage(content[:4096])
            self.worker.request("POST", "/v1/shards/damaged/verify")
            self.assertIs(wait_for(client, EventType.CORRUPT).lease, lease)
            self.assertNotEqual(lease.read(), content)
            self.assert_refused("SHARD_CONFLICT", lambda: client.attach("damaged"), RefusedError)

    def test_a_worker_ends_a_lease_of_which_the_last_object_is_gone(self) -> None:
        client = self.worker.connect()
        leases: list[Any] = [client.attach("a"), client.attach("file")]
        leases.append(leases)  # a cycle, which only the garbage collector finds
        self.assertEqual(self.worker.leases(), 2)
        del leases
        gc.collect()
        self.assert_no_lease()
        client.close()

    def test_many_threads_use_one_client(self) -> None:
        failures: list[BaseException] = []
        with self.worker.connect() as client:
            shared = client.attach("a")

            def run(seed: int) -> None:
                rng = random.Random(seed)
                try:
                    for _ in range(25):
                        lease = client.attach("a")
                        view = lease.raw(0, 1000).memoryview()
                        offset = rng.randrange(len(CONTENT) - 64)
                        assert lease.read(offset, 64) == CONTENT[offset : offset + 64]
                        assert shared.read(offset, 64) == CONTENT[offset : offset + 64]
                        lease.close() if rng.random() < 0.5 else None
                        del lease
                        client.events()
                        assert len(client.shards()) >= 3
                        assert view == CONTENT[:1000]
                        del view
                except BaseException as error:
                    failures.append(error)

            threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])
            until(lambda: self.worker.leases() == 1, "the threads' leases have ended")
            self.assertEqual(shared.read(0, 10), CONTENT[:10])

    def test_a_thousand_attaches_leave_no_descriptor_and_no_mapping(self) -> None:
        with self.worker.connect() as client:
            client.attach("file").close()
            gc.collect()
            before, mappings = descriptors(), len(Path("/proc/self/maps").read_text().splitlines())
            for number in range(1000):
                lease = client.attach("file")
                if number % 3 == 0:
                    lease.close()
                elif number % 3 == 1:
                    self.assertEqual(len(lease.tensors), 1)
                del lease
            self.assertEqual(descriptors(), before)
            self.assertLess(len(Path("/proc/self/maps").read_text().splitlines()), mappings + 50)
            self.assert_no_lease()
            client.attach("file").close()

    def test_refused_and_lost_connections_leave_no_descriptor(self) -> None:
        before = descriptors()
        for _ in range(50):
            self.assertRaises(AttachError, lambda: vram_residency.connect("/nowhere"))
            self.assertRaises(AttachError, lambda: vram_residency.attach("missing", socket=self.worker.socket))
        self.assertEqual(descriptors(), before)

    def test_a_child_process_reads_views_and_leaves_the_parents_leases_alone(self) -> None:
        with self.worker.connect() as client:
            lease, other = client.attach("a"), client.attach("file")
            view = lease.raw().memoryview()
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    ok = view == CONTENT
                    for call in (lease.read, client.events, client.shards, lambda: client.attach("a")):
                        try:
                            call()
                            ok = False
                        except AttachError as error:
                            ok = ok and error.code == "FORKED"
                    other.close()
                    lease.close()
                    client.close()
                    del view, lease, other, client
                    gc.collect()
                    with self.worker.connect() as own:
                        ok = ok and own.attach("file").read() == FILE
                    status = 0 if ok else 2
                finally:
                    os._exit(status)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            self.assertEqual(lease.state, LeaseState.ACTIVE)
            self.assertEqual((lease.read(), other.read()), (CONTENT, FILE))
            until(lambda: self.worker.leases() == 2, "the parent has its leases")
            del view

    def test_an_interpreter_ends_in_order_with_views_anywhere(self) -> None:
        program = """
import sys, threading, vram_residency
client = vram_residency.connect(sys.argv[1])
lease = client.attach("a")
view = lease.raw().memoryview()
tensor = lease.raw(0, 8)
capsule = tensor.__dlpack__()
cycle = [lease, client, view, tensor]; cycle.append(cycle)
sys.modules["kept"] = cycle
class Late:
    def __init__(self): self.view = client.attach("file").raw().memoryview()
    def __del__(self): bytes(self.view)
late = Late()
reader = threading.Thread(target=lambda: [bytes(view[:4096]) for _ in iter(int, 1)], daemon=True)
reader.start()
print(view[0])
"""
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1]), "CUDA_SIM_DEVICES": DEVICES}
        command = [sys.executable, "-c", program, str(self.worker.socket)]
        run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200)
        self.assertEqual((run.returncode, run.stderr, run.stdout), (0, "", f"{CONTENT[0]}\n"))
        self.assert_no_lease()

    def test_the_worker_refuses_to_release_a_leased_shard(self) -> None:
        with self.worker.connect() as client:
            lease = client.attach("a")
            view = lease.raw(0, 1)
            lease.close()
            with self.assertRaises(urllib.error.HTTPError) as caught:
                self.worker.request("DELETE", "/v1/shards/a")
            self.assertEqual(caught.exception.code, 409)
            caught.exception.close()
            del view

    def test_headers_that_lie_raise_errors_and_the_bytes_stay_readable(self) -> None:
        lies = [
            b'\xff\xff\xff\xff\xff\xff\xff\x7f{"a": 1}',
            safetensors({"x": ("F32", [2**62], bytes(8))}),
            safetensors({"x": ("U8", [8], bytes(8)), "y": ("U8", [9], bytes(8))}),
            b"GGUF\x03\0\0\0" + b"\xff" * 16,
            CONTENT[:1000],
        ]
        with self.worker.connect() as client:
            for number, content in enumerate(lies):
                self.worker.commit(f"lie-{number}", content)
                lease: Lease
                with client.attach(f"lie-{number}") as lease:
                    error = self.assert_refused("INVALID_FORMAT", lambda: lease.tensors)  # noqa: B023
                    self.assertIsInstance(error, ValueError)
                    self.assertEqual(lease.raw().read(), content)


if __name__ == "__main__":
    unittest.main()
