import { createHash } from 'node:crypto';
import type { LightMyRequestResponse } from 'fastify';
import type { TestWorker } from './worker.js';

export const mebibyte = 1024 * 1024;

export const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Uploads a shard by PUT, without a socket. `query` adds or replaces query parameters. */
export function upload(
  worker: TestWorker,
  shardId: string,
  bytes: Buffer,
  query: Record<string, string> = {},
): Promise<LightMyRequestResponse> {
  return worker.inject({
    method: 'PUT',
    url: '/v1/commit',
    query: { shard_id: shardId, model_ref: 'model', ...query },
    headers: { 'content-type': 'application/octet-stream' },
    payload: bytes,
  });
}

export const post = (worker: TestWorker, url: string, payload?: object): Promise<LightMyRequestResponse> =>
  worker.inject({ method: 'POST', url, ...(payload === undefined ? {} : { payload }) });

export const get = (worker: TestWorker, url: string): Promise<LightMyRequestResponse> =>
  worker.inject({ method: 'GET', url });

export const remove = (worker: TestWorker, url: string): Promise<LightMyRequestResponse> =>
  worker.inject({ method: 'DELETE', url });

/** The available bytes of each device. */
export async function availableBytes(worker: TestWorker): Promise<number[]> {
  const answer = await get(worker, '/v1/devices');
  return answer.json().devices.map((device: { available_bytes: number }) => device.available_bytes);
}
