import { WorkerError } from '../errors.js';
import type { Library } from './library.js';
import { VramError } from './status.js';

/**
 * Opens the wanted devices of a driver, by default all. Returns their ordinals. Closes the driver if one fails.
 * @throws WorkerError NOT_FOUND, VramError
 */
export async function openDevices(
  library: Library,
  handle: number,
  wanted?: readonly number[],
): Promise<readonly number[]> {
  const count = [0];
  library.call('vram_device_count', handle, count);
  const all = Array.from({ length: count[0] ?? 0 }, (_, ordinal) => ordinal);
  const ordinals = wanted ?? all;
  try {
    for (const ordinal of ordinals) {
      if (!all.includes(ordinal)) throw noSuchDevice(ordinal, all.length);
      await library.run('vram_open_device', handle, ordinal).catch((error: unknown) => {
        throw ofDevice(ordinal, error);
      });
    }
    return ordinals;
  } catch (error) {
    await library.run('vram_close', handle).catch(() => undefined);
    throw error;
  }
}

const noSuchDevice = (ordinal: number, count: number): WorkerError =>
  new WorkerError('NOT_FOUND', `GPU device ${ordinal} does not exist: the driver has ${count}, counted from 0`);

/** Names the device in the message of a native error. */
const ofDevice = (ordinal: number, error: unknown): unknown =>
  error instanceof VramError
    ? new VramError(error.code, `GPU device ${ordinal}: ${error.message}`, error.status, { cause: error })
    : error;
