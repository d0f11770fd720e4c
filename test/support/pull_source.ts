import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { LightMyRequestResponse } from 'fastify';
import type { Test } from 'tap';
import { SourceRegistry } from '../../src/sources/registry.js';
import { environmentOf, openedRange } from './http_sources.js';
import { get, post } from './requests.js';
import { safetensorsFile } from './safetensors.js';
import { until } from './until.js';
import { startWorker, type TestWorker, type WorkerOptions } from './worker.js';

/** A request for bytes of a file, which a test may answer in its own way. */
export interface FileRequest {
  readonly name: string;
  /** How many requests for a range of this file came before. */
  readonly count: number;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

export interface SourceOptions {
  /** Returns true if it answered the request. */
  readonly answer?: (request: FileRequest) => boolean;
  /** Names of files without a digest. */
  readonly withoutDigest?: readonly string[];
}

/** A safetensors file with one tensor of its own. */
export const tensorFile = (name: string, bytes: number): Buffer =>
  safetensorsFile({ [name]: { dtype: 'U8', shape: [bytes], data_offsets: [0, bytes] } });

/** A model of safetensors files with an index. */
export function modelOf(files: readonly Buffer[]): Map<string, Buffer> {
  const number = (index: number) => String(index).padStart(5, '0');
  const names = files.map((_, index) => `model-${number(index + 1)}-of-${number(files.length)}.safetensors`);
  const weightMap = Object.fromEntries(names.map((name, index) => [`t${index}`, name]));
  const index = Buffer.from(JSON.stringify({ metadata: {}, weight_map: weightMap }));
  const entries = names.map((name, position) => [name, files[position] ?? Buffer.alloc(0)] as const);
  return new Map([...entries, ['model.safetensors.index.json', index]]);
}

export const modelOfSizes = (sizes: readonly number[]): Map<string, Buffer> =>
  modelOf(sizes.map((bytes, index) => tensorFile(`t${index}`, bytes)));

/** An HTTP server with files, ranges, entity tags and digests. */
export async function startSource(t: Test, files: ReadonlyMap<string, Buffer>, options: SourceOptions = {}) {
  const counts = new Map<string, number>();
  const paths: string[] = [];
  const server = createServer((request, response) => {
    const name = decodeURIComponent(request.url ?? '').slice(1);
    paths.push(name);
    const sidecar = /^(.*)\.sha256$/.exec(name)?.[1];
    const digestOf = sidecar === undefined ? undefined : files.get(sidecar);
    if (digestOf !== undefined && options.withoutDigest?.includes(sidecar ?? '') !== true) {
      return void response.end(`${createHash('sha256').update(digestOf).digest('hex')}  ${sidecar}\n`);
    }
    const bytes = files.get(name);
    if (bytes === undefined) return void response.writeHead(404).end();
    const [, first, last] = /^bytes=(\d+)-(\d+)?$/.exec(request.headers.range ?? '') ?? [];
    const start = Number(first ?? 0);
    const end = Math.min(bytes.length, Number(last ?? bytes.length - 1) + 1);
    const isProbe = end - start === 1;
    const count = counts.get(name) ?? 0;
    if (!isProbe) counts.set(name, count + 1);
    if (!isProbe && options.answer?.({ name, count, request, response, bytes, start, end }) === true) return;
    sendRange(response, bytes, start, end);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const registry = new SourceRegistry(environmentOf(), [
    {
      settings: { name: 'fixture', type: 'http', prefixes: [url], addresses: [openedRange], digest: 'allow' },
      files: {},
    },
  ]);
  return { url, registry, paths, close: () => server.closeAllConnections() };
}

export type Source = Awaited<ReturnType<typeof startSource>>;

/** The head of a right answer. */
export function headOf(bytes: Buffer, start: number, end: number): Record<string, string> {
  return {
    'content-length': String(end - start),
    'content-range': `bytes ${start}-${end - 1}/${bytes.length}`,
    'accept-ranges': 'bytes',
    etag: `"${createHash('md5').update(bytes).digest('hex')}"`,
  };
}

export function sendRange(response: ServerResponse, bytes: Buffer, start: number, end: number): void {
  response.writeHead(206, headOf(bytes, start, end)).end(bytes.subarray(start, end));
}

/** A worker that may pull from a source. */
export const startPuller = (t: Test, { registry }: Source, options: WorkerOptions = {}): Promise<TestWorker> =>
  startWorker(t, { ...options, residency: { registry, ...options.residency } });

/** The body of a pull of the model that `modelOf` makes. */
export const pullBody = ({ url }: Source, pullId: string, fields: object = {}): object => ({
  pull_id: pullId,
  source: { type: 'http', url: `${url}model.safetensors.index.json` },
  shard_id_prefix: pullId,
  model_ref: 'model',
  ...fields,
});

export const startPull = (
  worker: TestWorker,
  source: Source,
  pullId: string,
  fields: object = {},
): Promise<LightMyRequestResponse> => post(worker, '/v1/pulls', pullBody(source, pullId, fields));

/** The pull once it has ended. */
export async function endedPull(worker: TestWorker, pullId: string) {
  await until(async () => (await get(worker, `/v1/pulls/${pullId}`)).json().ended_at !== null, `${pullId} runs on`);
  return (await get(worker, `/v1/pulls/${pullId}`)).json();
}
