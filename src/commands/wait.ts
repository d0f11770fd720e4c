import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { answerOf, Readiness } from './client/answers.js';
import { ProblemError, UnreachableError } from './client/client_error.js';
import { connect, connectionHelp, connectionOptions } from './client/connection.js';
import { onInterrupts, statusAfter } from './client/interrupts.js';
import { integerOption } from './client/numbers.js';
import { printLine } from './client/output.js';
import { clientStatus } from './client/status.js';
import type { WorkerClient, WorkerRequest } from './client/worker_client.js';
import { type DocumentedCommand, UsageError } from './command.js';
import { safeText } from './terminal/safe_text.js';

const help = `Usage: vram-worker wait --model-ref REF [--timeout SECONDS] [--max-age-seconds N] [CONNECTION]

Wait until a running worker reports a model as ready, such as in an init container before an engine. It also waits
for a worker that does not listen yet.

  --model-ref REF      The model.
  --timeout SECONDS    How long to wait, from 0 to 86400; default 600. With 0, ask once.
  --max-age-seconds N  Each shard must also have been verified within this time, from 1 to 86400 seconds.

${connectionHelp}

Exit status: 0 if the model is ready, 1 if the worker refused the request, 75 if the time is over, 77 if the worker
refused the token.

Example:
  vram-worker wait --model-ref demo --timeout 60
`;

const pauseMs = 1000;
/** A worker that hangs is asked again. With `--max-age-seconds`, it may hash for long before it answers. */
const maxIdleMs = 10_000;
const hour = 3_600_000;
const day = 86_400;

const readinessOf = answerOf(Readiness, 'readiness');

interface Outcome {
  readonly isReady: boolean;
  /** What happened, for people. */
  readonly text: string;
  /** The worker asks for at least this pause. */
  readonly pauseMs?: number;
}

async function run(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...connectionOptions,
      'model-ref': { type: 'string' },
      timeout: { type: 'string' },
      'max-age-seconds': { type: 'string' },
    },
  });
  const modelRef = values['model-ref'];
  if (modelRef === undefined) throw new UsageError('wait needs --model-ref');
  const timeoutSeconds = integerOption('timeout', values.timeout, { minimum: 0, maximum: day }) ?? 600;
  const maxAge = integerOption('max-age-seconds', values['max-age-seconds'], { minimum: 1, maximum: day });
  const client = await connect(values, process.env);
  const query = { model_ref: modelRef, handles: 'false', max_age_seconds: maxAge };
  // As process 1 of a container, a process gets only the signals that it handles.
  const interrupt = new AbortController();
  const stopListening = onInterrupts((signal) => interrupt.abort(signal));
  try {
    return await waitUntilReady(client, query, { timeoutSeconds, signal: interrupt.signal });
  } catch (error) {
    const { aborted, reason } = interrupt.signal;
    if (aborted) return statusAfter(reason);
    throw error;
  } finally {
    stopListening();
  }
}

async function waitUntilReady(
  client: WorkerClient,
  query: NonNullable<WorkerRequest['query']>,
  { timeoutSeconds, signal }: { readonly timeoutSeconds: number; readonly signal: AbortSignal },
): Promise<number> {
  const endMs = performance.now() + timeoutSeconds * 1000;
  for (;;) {
    const idleMs = Math.max(
      pauseMs,
      Math.min(query.max_age_seconds === undefined ? maxIdleMs : hour, endMs - performance.now()),
    );
    const outcome = await ask(client, { method: 'GET', path: 'v1/ready', query, signal, idleMs });
    if (outcome.isReady) {
      printLine(outcome.text);
      return clientStatus.done;
    }
    const leftMs = endMs - performance.now();
    if (leftMs <= 0) {
      process.stderr.write(`vram-worker: not ready after ${timeoutSeconds} s: ${outcome.text}\n`);
      return clientStatus.temporary;
    }
    await sleep(Math.min(leftMs, outcome.pauseMs ?? pauseMs), undefined, { signal });
  }
}

/** Asks once. @throws ProblemError, PeerError if waiting cannot help; the reason of the signal */
async function ask(client: WorkerClient, request: WorkerRequest): Promise<Outcome> {
  try {
    const { body } = await client.ask({ ...request, answers: [503] });
    const { ready, reasons, models } = readinessOf(body);
    const [model] = models;
    if (ready && model !== undefined)
      return { isReady: true, text: safeText(`${model.model_ref}  ready  ${model.resident_shards} shards`) };
    return { isReady: false, text: safeText(reasons.map(({ code, detail }) => `${code}: ${detail}`).join('; ')) };
  } catch (error) {
    if (error instanceof UnreachableError) return { isReady: false, text: error.message };
    if (!(error instanceof ProblemError) || !error.problem.retriable) throw error;
    const { retry_after_ms: retryAfterMs = pauseMs } = error.problem;
    return { isReady: false, text: error.message, pauseMs: Math.max(pauseMs, retryAfterMs) };
  }
}

export const wait: DocumentedCommand = { run, help };
