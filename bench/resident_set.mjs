import { readFileSync } from 'node:fs';

/** Memory of a process beyond what it shares with the simulated device: VmRSS − RssShmem, bytes; see proc(5). @param {number} pid */
export function residentBytes(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return field('VmRSS') - field('RssShmem');
}

/** Watches a process. @param {number} pid @returns {() => number} stops, and says the most it held */
export function watchPeak(pid) {
  let peak = 0;
  const look = () => {
    peak = Math.max(peak, residentBytes(pid));
  };
  const timer = setInterval(look, 10);
  return () => {
    clearInterval(timer);
    look();
    return peak;
  };
}
