import type { WorkerError } from '../errors.js';

export const pullStates = [
  'queued',
  'resolving',
  'inspecting',
  'receiving',
  'proving',
  'sealed',
  'failed',
  'cancelled',
] as const;
export type PullState = (typeof pullStates)[number];

/** The phase of a pull. In the last three it has ended, and what it does not keep is free. */
export type PullPhase =
  | { readonly state: 'queued' | 'resolving' | 'inspecting' | 'receiving' | 'proving' }
  | { readonly state: 'sealed'; readonly endedAtMs: number }
  | { readonly state: 'failed' | 'cancelled'; readonly endedAtMs: number; readonly problem: WorkerError };

const active = ['queued', 'resolving', 'inspecting', 'receiving', 'proving'] as const;

/** The allowed source states and the target state of each transition. Any other call throws INTERNAL. */
export const pullTransitions = {
  beginResolving: { from: ['queued'], to: 'resolving' },
  beginInspecting: { from: ['resolving'], to: 'inspecting' },
  beginReceiving: { from: ['inspecting'], to: 'receiving' },
  beginProving: { from: ['receiving'], to: 'proving' },
  markSealed: { from: ['proving'], to: 'sealed' },
  fail: { from: active, to: 'failed' },
  cancel: { from: active, to: 'cancelled' },
} as const satisfies Record<string, { from: readonly PullState[]; to: PullState }>;

export type PullTransition = keyof typeof pullTransitions;

/** Whether the pull is sealed, failed or cancelled. */
export const hasEnded = (phase: PullPhase): boolean => 'endedAtMs' in phase;
