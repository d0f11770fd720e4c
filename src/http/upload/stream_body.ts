import type { Readable } from 'node:stream';
import { WorkerError } from '../../errors.js';
import { StallTimer } from './stall_timer.js';

/** What takes the bytes. */
export interface Sink {
  /** Takes a chunk; a promise says when it can take more. */
  write(chunk: Uint8Array): Promise<void> | undefined;
  /** Aborts, with the reason, when it takes no more. */
  readonly signal: AbortSignal;
}

/** A sender that gives so much at once, with so much to come, is quicker read past Node. */
const fastChunkBytes = 32 * 1024;
const longRestBytes = 1024 * 1024;

/**
 * Moves a request's body into a sink, as fast as the sink takes it, holding no more than what the socket has just
 * given. Where there is a `bypass`, it moves what comes fast past the source, and says how much that was. The source is
 * left paused where it fails: whoever answers decides what becomes of the rest.
 * @throws WorkerError LENGTH_MISMATCH where the body ends early, goes on too long or its sender leaves; UPLOAD_TIMEOUT
 * where it stalls; what the sink throws, or ends with
 */
export function streamBody(
  source: Readable,
  sink: Sink,
  declaredBytes: number,
  idleSeconds: number,
  bypass?: () => Promise<number>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const watchdog = new StallTimer(idleSeconds, (detail) => fail(new WorkerError('UPLOAD_TIMEOUT', detail)));
    const stop = (): void => {
      watchdog.stop();
      source.off('data', take).off('end', end).off('close', left).off('error', left);
      sink.signal.removeEventListener('abort', ended);
    };
    const fail = (error: unknown): void => {
      stop();
      source.pause();
      reject(error);
    };
    const mismatch = (what: string): WorkerError =>
      new WorkerError('LENGTH_MISMATCH', `${what} ${watchdog.bytes} of ${declaredBytes} bytes`);
    let bypassed = false;
    const take = (chunk: Buffer): void => {
      // A source that was passed by does not know where its body ends.
      const part = bypassed ? chunk.subarray(0, declaredBytes - watchdog.bytes) : chunk;
      watchdog.bytes += part.length;
      try {
        if (watchdog.bytes > declaredBytes) throw mismatch('The body goes on after');
        const room = sink.write(part);
        const isFast = part.length >= fastChunkBytes && declaredBytes - watchdog.bytes >= longRestBytes;
        if (room !== undefined) hold(room);
        else if (isFast && bypass !== undefined) hold(passBy(bypass));
        else endIfWhole();
      } catch (error) {
        fail(error);
      }
    };
    const passBy = async (move: () => Promise<number>): Promise<void> => {
      const bytes = await move();
      bypassed ||= bytes > 0;
      watchdog.bytes += bytes;
    };
    const hold = (room: Promise<void>): void => {
      source.pause();
      watchdog.held = true;
      room.then(() => {
        watchdog.held = false;
        if (!endIfWhole()) source.resume();
      }, fail);
    };
    const endIfWhole = (): boolean => {
      const whole = bypassed && watchdog.bytes === declaredBytes;
      if (whole) end();
      return whole;
    };
    const end = (): void => {
      if (watchdog.bytes < declaredBytes) {
        fail(mismatch('The body ended after'));
      } else {
        stop();
        resolve();
      }
    };
    const left = (): void => fail(mismatch('The client left after'));
    const ended = (): void => fail(sink.signal.reason);
    sink.signal.addEventListener('abort', ended);
    source.on('data', take).once('end', end).once('close', left).once('error', left);
    if (sink.signal.aborted) ended();
    else if (source.destroyed) left();
  });
}
