import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { startProcess } from '../../support/process.js';
import { simulator } from '../../support/simulator.js';
import { startWorker } from '../../support/worker.js';

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** A worker of the lease histories. */
export interface Server {
  /** Sends bytes, or an object as JSON. */
  request(method: 'GET' | 'PUT' | 'POST' | 'DELETE', url: string, content?: Buffer | object): Promise<Answer>;
  stop(how: 'restart' | 'crash'): Promise<void>;
  /** The allocations of the driver; 0 if they cannot be counted. */
  allocations(): number;
}

/** Starts a worker with an attach socket, and the file `model` to commit from. */
export type StartServer = (t: Pick<Test, 'teardown'>, directory: string) => Promise<Server>;

export const socketIn = (directory: string): string => join(directory, 'attach.sock');

const settings = (directory: string): NodeJS.ProcessEnv => ({
  WORKER_ATTACH_SOCKET: socketIn(directory),
  WORKER_MODEL_DIR: directory,
  WORKER_VERIFY_AFTER_LEASE: 'off',
  WORKER_SCRUB_SECONDS: '0',
});

/** The content of the file. */
export const writeModel = (directory: string, content: Buffer): void =>
  writeFileSync(join(directory, 'model'), content);

/** In this process, where the driver's allocations can be counted. It cannot crash. */
export const startInProcess: StartServer = async (t, directory) => {
  const worker = await startWorker(t, { env: settings(directory) });
  return {
    request: async (method, url, content) => {
      const headers = Buffer.isBuffer(content) ? { headers: { 'content-type': 'application/octet-stream' } } : {};
      const payload = content === undefined ? {} : { payload: content };
      const { statusCode: status, payload: text } = await worker.inject({ method, url, ...headers, ...payload });
      return { status, body: parsed(text) };
    },
    stop: () => worker.stop(),
    allocations: () => simulator.live('cuMemCreate'),
  };
};

/** As a process. */
export const startOutside: StartServer = async (t, directory) => {
  const worker = await startProcess(t as Test, directory, settings(directory));
  const { url: base, authorization, child, exited } = worker;
  return {
    request: async (method, url, content) => {
      const isJson = content !== undefined && !Buffer.isBuffer(content);
      const type = isJson ? 'application/json' : 'application/octet-stream';
      const body = Buffer.isBuffer(content) ? new Uint8Array(content) : JSON.stringify(content);
      const sent =
        content === undefined
          ? { headers: { authorization } }
          : { headers: { authorization, 'content-type': type }, body };
      const answer = await fetch(`${base}${url}`, { method, ...sent });
      return { status: answer.status, body: parsed(await answer.text()) };
    },
    stop: async (how) => {
      child.kill(how === 'crash' ? 'SIGKILL' : 'SIGTERM');
      await exited;
    },
    allocations: () => 0,
  };
};

const parsed = (text: string): Answer['body'] => (text === '' ? {} : JSON.parse(text));
