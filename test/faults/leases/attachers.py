"""Many processes that each attach one shard and stay. Prints how often each answer came, as JSON, then waits for its input to end."""
import collections
import json
import os
import signal
import sys

from holder import Holder

path, shard, count, connected = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def attach(index):
    """Attaches as a process of its own. The first processes keep their connection."""
    holder = Holder()
    try:
        answer = holder.connect(path)
        if answer["type"] == "welcome":
            answer = holder.attach({"shard_id": shard})
    except OSError as error:
        answer = {"type": type(error).__name__}
    if index >= connected:
        holder.disconnect()
    return answer.get("code", answer["type"])


answers = collections.Counter()
children = []
try:
    for index in range(count):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writer, attach(index).encode())
                os.close(writer)
                # Ends with the input too, which is that of all processes.
                os.read(0, 1)
            finally:
                os._exit(0)
        os.close(writer)
        children.append(child)
        answers[os.read(reader, 100).decode()] += 1
        os.close(reader)
    print(json.dumps(answers), flush=True)
    sys.stdin.read()
finally:
    for child in children:
        os.kill(child, signal.SIGKILL)
