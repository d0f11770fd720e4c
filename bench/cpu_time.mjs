import { readFileSync } from 'node:fs';

/** Linux counts in units of 1/100 s (sysconf(3), _SC_CLK_TCK). */
const ticksPerSecond = 100;

/** CPU seconds that a process has used, all threads, user and system; see proc(5). @param {number} pid */
export function cpuSeconds(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}
