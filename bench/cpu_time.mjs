import { readdirSync, readFileSync } from 'node:fs';

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
