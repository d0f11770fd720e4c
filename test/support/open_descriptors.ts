import { fstatSync, readdirSync, readlinkSync } from 'node:fs';

/** How many descriptors this process has, without the one that reads the folder. `isCounted` chooses by what they are. */
export function openDescriptors(isCounted: (target: string) => boolean = () => true): number {
  return readdirSync('/proc/self/fd').filter((number) => {
    try {
      fstatSync(Number(number));
      return isCounted(readlinkSync(`/proc/self/fd/${number}`));
    } catch {
      return false;
    }
  }).length;
}
