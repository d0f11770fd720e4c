import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { freePort } from './free_port.js';
import { runThrough, type WorkerProcess } from './process.js';
import { until } from './until.js';

/**
 * Starts a worker whose standard output a shell redirects, such as `>/dev/full`. Resolves when it responds. Its own
 * process is `child`.
 */
export async function startSilent(
  t: Test,
  directory: string,
  redirection: string,
  env: NodeJS.ProcessEnv = {},
): Promise<WorkerProcess> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const through = ['sh', '-c', `exec "$0" "$@" ${redirection}`];
  const settings = { WORKER_BIND_ADDR: `127.0.0.1:${port}`, ...env };
  const started = runThrough(t, { directory, args: ['serve', '--simulate'], env: settings, through });
  await until(async () => (await statusOf(`${url}/readyz`)) === 200, 'the worker is ready');
  const authorization = `Bearer ${readFileSync(join(directory, '.worker', 'token'), 'utf8').trim()}`;
  return { ...started, url, directory, authorization };
}

/** The status of a GET, or 0 if there is no response. */
export const statusOf = (url: string, headers: Record<string, string> = {}): Promise<number> =>
  fetch(url, { headers }).then(
    async (answer) => {
      await answer.arrayBuffer();
      return answer.status;
    },
    () => 0,
  );
