import { status, VramError } from './status.js';

/** The bits of `vram_residency.violations`, from the lowest: `VRAM_VIOLATION_…` in `cuda/include/vram_allocation.h`. */
const violationNames = [
  'memory type is not DEVICE',
  'managed memory',
  'another device ordinal',
  'host pointer',
  'location is not DEVICE',
  'another location id',
  'access is not as sealed',
  'another device has access',
] as const;

/** The violation of memory that can be written. */
export const notSealed = 'not sealed';

/** `vram_residency` of the C ABI. */
export interface Residency {
  violations?: number;
  sealed?: number;
}

/** The violations that a native call reports. @throws its other errors */
export async function violationsOf(call: (report: Residency) => Promise<void>): Promise<readonly string[]> {
  const report: Residency = {};
  try {
    await call(report);
  } catch (error) {
    if (!(error instanceof VramError) || error.status !== status.policyViolation) throw error;
  }
  const violations = report.violations ?? 0;
  const named: string[] = violationNames.filter((_, bit) => violations & (1 << bit));
  if (report.sealed !== 1) named.push(notSealed);
  return named;
}

/** @throws VramError POLICY_VIOLATION */
export function requireNone(violations: readonly string[]): void {
  if (violations.length === 0) return;
  const detail = `The memory violates the sealing policy: ${violations.join(', ')}`;
  throw new VramError('POLICY_VIOLATION', detail, status.policyViolation);
}
