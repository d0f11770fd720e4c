import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Linux counts in units of 1/100 s (sysconf(3), _SC_CLK_TCK). */
const ticksPerSecond = 100;

/** CPU seconds that a process has used, all threads, user and system; see proc(5). @param {number} pid */
export function cpuSeconds(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/**
 * The same in nanosecond resolution, for the threads that exist now. Use it for an idle process, whose threads do not end.
 * @param {number} pid
 */
export function cpuSecondsOfThreads(pid) {
  const tasks = `/proc/${pid}/task`;
  const nanoseconds = readdirSync(tasks).map((thread) =>
    Number(readFileSync(`${tasks}/${thread}/schedstat`, 'utf8').split(' ')[0]),
  );
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e9;
}

/** The share of the time of all cores that work used, that of other programs included. @param {() => Promise<T>} work @template T */
export async function busyShareDuring(work) {
  const [before, startedMs] = [busySeconds(), performance.now()];
  const result = await work();
  const seconds = (performance.now() - startedMs) / 1000;
  return { result, busyShare: (busySeconds() - before) / seconds / availableParallelism() };
}

/** CPU seconds that the machine has used since it started. */
function busySeconds() {
  const [, user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'utf8').split(/\s+/, 8).map(Number);
  return (user + nice + system + irq + softirq) / ticksPerSecond;
}
