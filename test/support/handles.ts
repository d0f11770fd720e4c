import { get, post } from './requests.js';
import type { TestWorker } from './worker.js';

const decode = (part = '') => JSON.parse(Buffer.from(part, 'base64url').toString());

/** The claims of a handle, without a check of its signature. */
export const claimsOf = (handle: string) => decode(handle.split('.')[1]);

/** The id of the key that a handle names in its header. */
export const kidOf = (handle: string): string => decode(handle.split('.')[0]).kid;

/** The worker's verdict on a handle. */
export const verifyHandle = async (worker: TestWorker, handle: string) =>
  (await post(worker, '/v1/handles/verify', { handle })).json();

/** The first handle that the worker attests. */
export const currentHandle = async (worker: TestWorker): Promise<string> =>
  (await get(worker, '/v1/ready')).json().handles[0].handle;
