import type { Pull, PullSnapshot } from '../../pulls/pull.js';
import { problemOf } from '../errors/problem.js';
import { serializePull, serializePullFile } from '../serializers/pull.js';

/** How often progress is sent at most. */
const progressMs = 500;

/** How often a stream without an event gets a comment, so that proxies do not close it. */
const heartbeatMs = 15_000;

/**
 * The events of a pull as server-sent events, until it has ended or the signal aborts. Each part is made when the reader
 * asks for it, from the difference between the newest state and the last one sent. So a slow reader misses states, and
 * nothing waits for it in memory.
 */
export async function* eventStream(pull: Pull, signal: AbortSignal): AsyncGenerator<string, void, undefined> {
  let sent = pull.snapshot();
  let progress = sent;
  let progressAtMs = performance.now();
  yield event('snapshot', serializePull(sent));
  while (sent.endedAtMs === null) {
    const dueMs = isSameProgress(progress, sent) ? heartbeatMs : progressAtMs + progressMs - performance.now();
    await pull.changes.after(sent.revision, signal, Math.max(1, dueMs));
    if (signal.aborted) return;
    const next = pull.snapshot();
    const parts = fileEvents(sent, next);
    sent = next;
    const isDue = performance.now() >= progressAtMs + progressMs && next.endedAtMs === null;
    if (isDue && !isSameProgress(progress, next)) {
      parts.push(event('progress', progressOf(progress, next)));
      progress = next;
      progressAtMs = performance.now();
    }
    if (parts.length > 0) yield parts.join('');
    else if (dueMs >= heartbeatMs) yield ': keep-alive\n\n';
  }
  yield event('end', serializePull(sent));
}

const event = (name: string, data: object): string => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

/** What changed besides the progress: attempts, and states of files. */
function fileEvents(before: PullSnapshot, after: PullSnapshot): string[] {
  const parts: string[] = [];
  const requestId = after.requestId ?? undefined;
  if (after.lastProblem !== null && after.lastProblem !== before.lastProblem) {
    parts.push(event('retry', { path: null, attempts: null, problem: problemOf(after.lastProblem, requestId) }));
  }
  for (const [index, file] of after.files.entries()) {
    const known = before.files[index];
    if (file === known) continue;
    if (file.lastProblem !== null && file.lastProblem !== known?.lastProblem && after.endedAtMs === null) {
      const { path, attempts, lastProblem } = file;
      parts.push(event('retry', { path, attempts, problem: problemOf(lastProblem, requestId) }));
    }
    if (file.state !== known?.state) parts.push(event('file', serializePullFile(file, after)));
  }
  return parts;
}

/** The figures of the whole pull, and those of the files that changed. */
function progressOf(before: PullSnapshot, after: PullSnapshot): object {
  const changed = after.files.filter((file, index) => file.receivedBytes !== before.files[index]?.receivedBytes);
  return {
    state: after.state,
    bytes: after.bytes,
    received_bytes: after.receivedBytes,
    fetched_bytes: after.fetchedBytes,
    bytes_per_second: after.bytesPerSecond,
    remaining_seconds: after.remainingSeconds,
    files: changed.map(({ path, receivedBytes }) => ({ path, received_bytes: receivedBytes })),
  };
}

const isSameProgress = (a: PullSnapshot, b: PullSnapshot): boolean =>
  a === b ||
  (a.state === b.state &&
    a.bytes === b.bytes &&
    a.receivedBytes === b.receivedBytes &&
    a.fetchedBytes === b.fetchedBytes &&
    a.bytesPerSecond === b.bytesPerSecond);
