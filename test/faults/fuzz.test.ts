import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { startWorker, type TestWorker, token } from '../support/worker.js';
import { type FuzzedAnswer, faultOf } from './fuzz/answers.js';
import { type Operation, operationOf } from './fuzz/document.js';
import { type FuzzedRequest, fuzzedRequest } from './fuzz/requests.js';
import { scale, seeded } from './scale.js';
import { patient, unlessShed } from './shed.js';

// Read by the simulator when the first worker starts.
process.env.CUDA_SIM_DEVICES = '22MiB,18MiB';
process.env.CUDA_SIM_ENGINE = 'fast';

interface Target {
  readonly worker: TestWorker;
  /** Replaces placeholders by IDs that the worker has issued. */
  readonly aim: (text: string) => string;
  /** Records such IDs from an answer. */
  readonly learn: (answer: FuzzedAnswer) => void;
}

/** A worker with files to commit. Its clock advances one second per request, so that reservations expire. */
async function target(t: Test): Promise<Target> {
  const modelDir = mkdtempSync(join(tmpdir(), 'vram-fuzz-'));
  t.teardown(() => rmSync(modelDir, { recursive: true, force: true }));
  mkdirSync(join(modelDir, 'directory'));
  writeFileSync(join(modelDir, 'one'), 'one');
  writeFileSync(join(modelDir, 'two'), 'two, longer');
  let seconds = 0;
  const env = { ...patient, WORKER_MODEL_DIR: modelDir };
  const worker = await startWorker(t, { env, listen: true, monotonicMs: () => seconds++ * 100 });
  const reservations: string[] = [];
  let handle = '';
  return {
    worker,
    aim: (text) =>
      text.replace(/(?:\$|%24)(\d|handle)/g, (_, name) =>
        name === 'handle' ? handle : (reservations.at(-1 - name) ?? 'none'),
      ),
    learn: ({ status, body }) => {
      if (status !== 200 && status !== 201) return;
      const id = /"reservation_id":"([^"]+)"/.exec(body)?.[1];
      if (id !== undefined) reservations.push(id);
      handle = /^\{"handle":"([^"]+)"/.exec(body)?.[1] ?? handle;
    },
  };
}

/** Sends a request. Throws if the OpenAPI document or the worker's state does not permit the answer. */
async function ask({ aim, learn }: Target, drawn: FuzzedRequest, send: Send, seen: Map<number, number>): Promise<void> {
  const { headers, payload } = drawn;
  const operation = operationOf(drawn.operation);
  const authorization = { good: `Bearer ${token}`, bad: 'Bearer wrong', none: undefined }[drawn.token];
  const sent = {
    method: operation.method,
    url: aim(drawn.url),
    headers: { ...headers, ...(authorization === undefined ? {} : { authorization }) },
    payload: payload === undefined ? undefined : aim(payload),
  };
  const answer = await unlessShed(
    () => send(sent),
    ({ body }) => body,
  );
  seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
  const fault = faultOf(operation, answer);
  if (fault !== '') throw new Error(`${operation.name} → ${answer.status}: ${fault}\n${answer.body}`);
  learn(answer);
}

interface Sent {
  readonly method: Operation['method'];
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: string | undefined;
}
type Send = (sent: Sent) => Promise<FuzzedAnswer>;

const byInject =
  ({ app }: TestWorker): Send =>
  async ({ payload, ...sent }) => {
    const answer = await app.inject({ ...sent, ...(payload === undefined ? {} : { payload }) });
    return { status: answer.statusCode, headers: answer.headers, body: answer.body };
  };

const bySocket =
  ({ url: base }: TestWorker, agent: Agent): Send =>
  ({ method, url, headers, payload = '' }) =>
    new Promise((resolve, reject) => {
      const length = payload === '' && method !== 'PUT' ? {} : { 'content-length': String(Buffer.byteLength(payload)) };
      const { port } = new URL(base);
      const sending = request({ agent, port, method, path: url, headers: { ...length, ...headers } }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.once('end', () => {
          const body = Buffer.concat(chunks).toString();
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body });
        });
        answer.once('error', reject);
      });
      sending.once('error', reject);
      sending.end(payload);
    });

function figure(t: Test, what: string, requests: number, seen: Map<number, number>): void {
  const answers = [...seen].sort(([a], [b]) => a - b).map(([status, count]) => `${count} × ${status}`);
  t.comment(`figure: ${what} answered by the document ${requests} of ${requests} (${answers.join(', ')})`);
  t.ok(
    [200, 201, 204, 400, 404].every((status) => seen.has(status)),
    'requests of all kinds reached the routes',
  );
}

t.test('every answer to a random request conforms to the OpenAPI document, and none is a server failure', async (t) => {
  const fuzzed = await target(t);
  const requests = scale(4000, 1_000_000);
  const seen = new Map<number, number>();
  const send = byInject(fuzzed.worker);
  const property = fc.asyncProperty(fuzzedRequest, (drawn) => ask(fuzzed, drawn, send, seen));
  await fc.assert(property, { numRuns: requests, ...seeded() });
  figure(t, 'fuzzed requests', requests, seen);
});

t.test('every answer over a socket conforms too', async (t) => {
  const fuzzed = await target(t);
  const requests = scale(1000, 50_000);
  const seen = new Map<number, number>();
  const agent = new Agent({ keepAlive: true });
  t.teardown(() => agent.destroy());
  const send = bySocket(fuzzed.worker, agent);
  const property = fc.asyncProperty(fuzzedRequest, (drawn) => ask(fuzzed, drawn, send, seen));
  await fc.assert(property, { numRuns: requests, ...seeded() });
  figure(t, 'fuzzed requests over sockets', requests, seen);
});
