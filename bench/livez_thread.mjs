/**
 * A thread that sends `GET /livez` at a fixed rate. It posts a message after the first response. When it gets a message,
 * it ends, and posts the latencies in milliseconds. The
 * reading of other responses does not delay it. Requests without an answer, because the worker has closed its port, do not
 * count.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

const { url, perSecond } = workerData;
const latenciesMs = [];
const pending = [];
let isStopped = false;
once(parentPort, 'message').then(() => {
  isStopped = true;
});

await send();
parentPort.postMessage('started');
for (const started = performance.now(); !isStopped; await sleep(1)) {
  const due = ((performance.now() - started) / 1000) * perSecond;
  while (pending.length < due) pending.push(send());
}
await Promise.all(pending);
parentPort.postMessage(latenciesMs);

async function send() {
  const sent = performance.now();
  const answer = await fetch(`${url}/livez`, { signal: AbortSignal.timeout(30_000) }).catch(() => undefined);
  if (answer?.status === 200) latenciesMs.push(performance.now() - sent);
  await answer?.arrayBuffer().catch(() => undefined);
}
