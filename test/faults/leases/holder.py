"""A process that attaches shards: reads commands as JSON lines from standard input, and answers each with one line."""
import array
import hashlib
import json
import os
import resource
import socket
import struct
import sys


class Holder:
    def __init__(self):
        self.socket = None
        self.pending = b""
        self.descriptors = []
        self.events = []
        self.next_id = 1
        self.leases = {}
        self.kept = set()

    def connect(self, path, token=None):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.pending, self.descriptors = b"", []
        lines = [("version", 1), ("client", "holder")] + ([("token", token)] if token else [])
        self.send("hello", lines)
        return self.frame()[0]

    def send(self, kind, fields):
        content = "".join(f"{key}={value}\n" for key, value in [("type", kind), *fields]).encode()
        self.socket.sendall(struct.pack("<I", len(content)) + content)

    def fill(self, count):
        while len(self.pending) < count:
            numbers = array.array("i")
            data, ancillary, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(64 * numbers.itemsize))
            for _, _, payload in ancillary:
                numbers.frombytes(payload[: len(payload) - len(payload) % numbers.itemsize])
            self.descriptors += numbers
            if not data:
                raise ConnectionError("the connection ended")
            self.pending += data

    def frame(self):
        self.fill(4)
        (length,) = struct.unpack("<I", self.pending[:4])
        self.fill(4 + length)
        content, self.pending = self.pending[4 : 4 + length], self.pending[4 + length :]
        fields = [line.split("=", 1) for line in content.decode().splitlines()]
        return dict(reversed(fields)), [value for key, value in fields if key == "part"]

    def ask(self, kind, fields):
        number, self.next_id = self.next_id, self.next_id + 1
        self.send(kind, [("id", number), *fields])
        while True:
            answer, parts = self.frame()
            if answer["type"] == "event":
                self.events.append(answer)
            elif answer.get("id") == str(number):
                return answer, parts
            elif "id" not in answer:
                raise ConnectionError(answer.get("code", "no id"))

    def attach(self, fields):
        answer, parts = self.ask("attach", list(fields.items()))
        if answer["type"] == "attached":
            taken, self.descriptors = self.descriptors[: len(parts)], self.descriptors[len(parts) :]
            if len(taken) != len(parts):
                raise ConnectionError("descriptors are missing")
            self.leases[answer["lease_id"]] = (taken, int(answer["vram_bytes"]), answer["allocation_id"])
        return answer

    def digest(self, lease):
        descriptors, length, _ = self.leases[lease]
        digest = hashlib.sha256()
        for descriptor in descriptors:
            at = 0
            while length > 0 and (data := os.pread(descriptor, min(length, 1 << 20), at)):
                digest.update(data)
                at, length = at + len(data), length - len(data)
        return digest.hexdigest()

    def is_zero(self, lease):
        descriptors, _, _ = self.leases[lease]
        return all(not any(os.pread(each, os.fstat(each).st_size, 0)) for each in descriptors)

    def write(self, lease, offset):
        descriptor = self.leases[lease][0][0]
        (byte,) = os.pread(descriptor, 1, offset)
        os.pwrite(descriptor, bytes([byte ^ 1]), offset)

    def detach(self, lease, keep):
        answer = self.ask("detach", [("lease_id", lease)])[0]
        if keep:
            self.kept.add(lease)
        else:
            for descriptor in self.leases.pop(lease)[0]:
                os.close(descriptor)
        return answer

    def resume(self, lease):
        return self.ask("resume", [("lease_id", lease), ("allocation_id", self.leases[lease][2])])[0]

    def allocation(self, lease):
        return self.leases[lease][2]

    def adopt_lease(self, lease, allocation):
        self.leases[lease] = ([], 0, allocation)

    def resume_other(self, lease):
        return self.ask("resume", [("lease_id", lease), ("allocation_id", "0-1")])[0]

    def drain_events(self):
        self.socket.settimeout(0.2)
        try:
            while True:
                self.events.append(self.frame()[0])
        except (TimeoutError, ConnectionError):
            pass
        self.socket.settimeout(20)
        events, self.events = self.events, []
        return events

    def reset(self):
        """Detaches everything, and closes what it got."""
        for lease in list(self.leases):
            for each in self.leases[lease][0]:
                os.close(each)
            if self.socket and lease not in self.kept:
                self.ask("detach", [("lease_id", lease)])
        self.leases, self.kept, self.events = {}, set(), []
        if self.socket:
            self.socket.close()
        self.socket = None

    def fork(self):
        """The child continues. It has the connection and the memory."""
        if os.fork():
            os._exit(0)

    def exit(self):
        os._exit(0)

    def truncate(self, lease):
        for call in (lambda each: os.ftruncate(each, 0), lambda each: os.ftruncate(each, 1 << 30)):
            for each in self.leases[lease][0]:
                try:
                    call(each)
                    return "truncated"
                except PermissionError:
                    pass
        return "refused"

    def limit_files(self, limited):
        """Leaves no room for another descriptor, or removes that limit."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        lowest = hard
        if limited:
            lowest = os.dup(0)
            os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))

    def disconnect(self):
        self.socket.close()
        self.socket = None


if __name__ == "__main__":
    holder = Holder()
    for line in sys.stdin:
        command = json.loads(line)
        name = command.pop("do")
        try:
            result = {"result": getattr(holder, name)(**command)}
        except (ConnectionError, OSError) as error:
            result = {"error": repr(error)}
        print(json.dumps(result), flush=True)
