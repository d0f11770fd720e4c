import { readFileSync } from 'node:fs';

/** Resident bytes without the simulated device's shared memory: VmRSS − RssShmem, see proc(5). @param {number} pid */
export function residentBytes(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return field('VmRSS') - field('RssShmem');
}

/** Samples a process every 10 ms. @param {number} pid @returns {() => number} stops sampling and returns the peak in bytes */
export function watchPeak(pid) {
  let peak = 0;
  const sample = () => {
    peak = Math.max(peak, residentBytes(pid));
  };
  const timer = setInterval(sample, 10);
  return () => {
    clearInterval(timer);
    sample();
    return peak;
  };
}
