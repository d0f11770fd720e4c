import { setTimeout as sleep } from 'node:timers/promises';
import { expectNone, parseArguments, string } from './arguments.js';
import { connect, connectionHelp, connectionOptions } from './client/connection.js';
import { onInterrupts, statusAfter } from './client/interrupts.js';
import { integerOption } from './client/numbers.js';
import { printLine } from './client/output.js';
import { ReadyPoller } from './client/ready_poller.js';
import { clientStatus } from './client/status.js';
import { type DocumentedCommand, UsageError } from './command.js';

const help = `Usage: vram-worker wait --model-ref REF [--timeout SECONDS] [--max-age-seconds N] [CONNECTION]

Wait until a running worker reports a model as ready, such as in an init container before an engine. It also waits
for a worker that does not listen yet.

  --model-ref REF      The model.
  --timeout SECONDS    How long to wait, from 0 to 86400; default 600. With 0, ask once.
  --max-age-seconds N  Each shard must also have been verified within this time, from 1 to 86400 seconds.

${connectionHelp}

Exit status: 0 if the model is ready, 1 if the worker refused the request, 75 if it timed out, 77 if the worker
refused the token.

Example:
  vram-worker wait --model-ref demo --timeout 60
`;

const day = 86_400;

async function run(args: readonly string[]): Promise<number> {
  const options = { ...connectionOptions, 'model-ref': string, timeout: string, 'max-age-seconds': string };
  const { values, positionals } = parseArguments(args, options);
  expectNone(positionals);
  const modelRef = values['model-ref'];
  if (modelRef === undefined) throw new UsageError('wait needs --model-ref');
  const timeoutSeconds = integerOption('timeout', values.timeout, { minimum: 0, maximum: day }) ?? 600;
  const maxAgeSeconds = integerOption('max-age-seconds', values['max-age-seconds'], { minimum: 1, maximum: day });
  const client = await connect(values, process.env);
  // As process 1 of a container, a process gets only the signals that it handles.
  const interrupt = new AbortController();
  const stopListening = onInterrupts((signal) => interrupt.abort(signal));
  try {
    const { signal } = interrupt;
    const poller = new ReadyPoller(client, { modelRef, maxAgeSeconds, signal });
    return await waitUntilReady(poller, timeoutSeconds, signal);
  } catch (error) {
    const { aborted, reason } = interrupt.signal;
    if (aborted) return statusAfter(reason);
    throw error;
  } finally {
    stopListening();
  }
}

async function waitUntilReady(poller: ReadyPoller, timeoutSeconds: number, signal: AbortSignal): Promise<number> {
  const endMs = performance.now() + timeoutSeconds * 1000;
  for (;;) {
    const { isReady, text, pauseMs } = await poller.ask(endMs - performance.now());
    if (isReady) {
      printLine(text);
      return clientStatus.done;
    }
    const leftMs = endMs - performance.now();
    if (leftMs <= 0) {
      process.stderr.write(`vram-worker: not ready after ${timeoutSeconds} s: ${text}\n`);
      return clientStatus.temporary;
    }
    await sleep(Math.min(leftMs, pauseMs), undefined, { signal });
  }
}

export const wait: DocumentedCommand = { run, help };
