import { existsSync, fstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What the descriptors of this process refer to, without the one that reads the folder. */
export function openDescriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap((number) => {
    try {
      fstatSync(Number(number));
      return [readlinkSync(`/proc/self/fd/${number}`)];
    } catch {
      return [];
    }
  });
}

function tcpConnections(): Set<string> {
  // A kernel without IPv6 does not have the second file.
  const files = ['/proc/self/net/tcp', '/proc/self/net/tcp6'].filter((path) => existsSync(path));
  const lines = files.flatMap((path) => readFileSync(path, 'latin1').split('\n'));
  return new Set(lines.map((line) => `socket:[${line.trim().split(/\s+/)[9]}]`));
}

/**
 * The descriptors of this process that were not open before.
 * TCP connections do not count, because the pool of `fetch` opens and closes them whenever it likes,
 * and neither do descriptors that have closed since, such as the pipes of an earlier test's worker.
 */
export function newDescriptors(before: readonly string[]): string[] {
  const old = [...before];
  const added = openDescriptors().filter((target) => {
    const at = old.indexOf(target);
    if (at !== -1) old.splice(at, 1);
    return at === -1;
  });
  const connections = tcpConnections();
  return added.filter((target) => !connections.has(target));
}
