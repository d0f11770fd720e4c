import { maxShards } from '../../residency/limits.js';

/** 2^53 − 1, the largest integer that every JSON parser reads exactly. */
export const maxBytes = Number.MAX_SAFE_INTEGER;

/** Inclusive bounds. */
export interface Range {
  readonly minimum: number;
  readonly maximum: number;
}

export const gpuDeviceRange: Range = { minimum: 0, maximum: 65535 };
export const shardIndexRange: Range = { minimum: 0, maximum: maxShards - 1 };
export const totalShardsRange: Range = { minimum: 1, maximum: maxShards };
export const lengthRange: Range = { minimum: 1, maximum: maxBytes };
