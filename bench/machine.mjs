import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';

/** The properties of the machine that a figure depends on. */
export function describeMachine() {
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  const flags = /^flags\s*:(.*)$/m.exec(info)?.[1]?.split(' ') ?? [];
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    shaInstructions: flags.includes('sha_ni'),
    avx512: flags.includes('avx512f'),
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    loadAverage: loadavg()[0],
  };
}
