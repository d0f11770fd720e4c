import { createHash } from 'node:crypto';
import { hostname } from 'node:os';

export const workerIdPattern = /^[A-Za-z0-9._:-]{1,128}$/;

/** The id of a worker without `WORKER_ID`. */
export const defaultWorkerId = (): string => workerIdFor(hostname());

/** Whether `defaultWorkerId` had to change the host name. */
export const isDerivedWorkerId = (workerId: string): boolean => workerId !== hostname();

/**
 * The host name if it is a valid id. Else the host name with `-` for each invalid character, and eight digits of its
 * SHA-256, which keep the ids of two hosts apart.
 */
export function workerIdFor(hostName: string): string {
  if (workerIdPattern.test(hostName)) return hostName;
  const readable = hostName.replaceAll(/[^A-Za-z0-9._:-]/gu, '-').slice(0, 119);
  return `${readable}-${createHash('sha256').update(hostName).digest('hex').slice(0, 8)}`;
}
