import type { IncomingMessage } from 'node:http';
import { WorkerError } from '../../errors.js';
import { BoundedBuffer } from '../../runtime/bounded_buffer.js';
import { invalidParams } from '../errors/to_worker_error.js';
import { MemoryBudget } from '../server/memory_budget.js';
import { maxJsonBytes, tooLong } from './body_head.js';

const timeoutMs = 30_000;

/** A smaller body does not count: the number of connections is limited. */
const minCountedBytes = 16 * 1024;

/** Parts of JSON bodies that have not arrived completely, in the whole process. */
const maxPartialBytes = 64 * 1024 * 1024;

/** Reads whole JSON bodies, within limits of size, time and memory. */
export class JsonBodies {
  readonly #budget = new MemoryBudget(maxPartialBytes);

  /** @param owner the client in the limit of memory */
  read(payload: IncomingMessage, owner: string): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const body = new BoundedBuffer(maxJsonBytes);
      let release: (() => void) | undefined;
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        release?.();
        payload.off('data', onData).off('end', onEnd).off('close', onDisconnect).off('error', onDisconnect);
        act();
      };
      const fail = (error: WorkerError): void => settle(() => reject(error));
      const evict = (): void => fail(new WorkerError('RATE_LIMITED', 'Too many JSON bodies arrive at the same time'));
      const onData = (chunk: Buffer): void => {
        if (!body.add(chunk)) fail(tooLong());
        else if (body.length >= minCountedBytes && release === undefined) {
          release = this.#budget.hold({ owner, bytes: maxJsonBytes, evict });
          if (release === undefined) evict();
        }
      };
      const onEnd = (): void => settle(() => resolve(body.bytes));
      const onDisconnect = (): void => fail(invalidParams('The client disconnected before the end of the body'));
      const onTimeout = (): void => fail(new WorkerError('UPLOAD_TIMEOUT', 'The JSON body timed out'));
      const timer = setTimeout(onTimeout, timeoutMs);
      payload.on('data', onData).once('end', onEnd).once('close', onDisconnect).once('error', onDisconnect);
    });
  }
}
