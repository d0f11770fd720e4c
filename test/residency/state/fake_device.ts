import { DeviceMemory } from '../../../src/residency/state/device_memory.js';

export const granularityBytes = 2 * 1024 * 1024;
export const capacityBytes = 16 * granularityBytes;

/** A device, and a driver that answers a refresh when the test calls `answer`. */
export function fakeDevice() {
  let allocatedBytes = 0;
  const answers: (() => void)[] = [];
  const figures = () => ({
    name: `device with ${allocatedBytes} bytes allocated`,
    uuid: 'GPU-0',
    totalBytes: capacityBytes,
    freeBytes: capacityBytes - allocatedBytes,
    granularityBytes,
  });
  const ask = () => {
    const current = figures();
    return new Promise<typeof current>((resolve) => answers.push(() => resolve(current)));
  };
  const memory = new DeviceMemory(0, figures(), ask);
  const allocate = (bytes: number) => {
    allocatedBytes += bytes;
  };
  const answer = async () => {
    for (const resolve of answers.splice(0)) resolve();
    await new Promise((resolve) => setImmediate(resolve));
  };
  const refresh = async () => {
    const refreshed = memory.refresh();
    await answer();
    await refreshed;
  };
  return { memory, allocate, answer, refresh, allocatedBytes: () => allocatedBytes };
}
