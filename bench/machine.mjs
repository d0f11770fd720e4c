import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';

/** What a figure is worth nothing without. */
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
