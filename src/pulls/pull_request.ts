import type { Digest } from '../seal/digest.js';
import type { SourceReference } from '../sources/reference.js';

/** Whether a file without an expected or claimed digest may be pulled. */
export const digestRules = ['require', 'allow'] as const;
export type DigestRule = (typeof digestRules)[number];

/**
 * - `strict`: every file is checked, unknown formats are refused, and sets of files must be complete.
 * - `basic`: files of a known format are checked, each for itself.
 * - `off`: nothing is checked.
 */
export const formatChecks = ['strict', 'basic', 'off'] as const;
export type FormatCheck = (typeof formatChecks)[number];

/** A whole model to commit from a source. Validated before it reaches this layer. */
export interface PullRequest {
  readonly pullId: string;
  readonly source: SourceReference;
  /** Default: the resolved reference. */
  readonly modelRef?: string;
  /** The shards are `<prefix>-<index>`. */
  readonly shardIdPrefix: string;
  readonly reservationId?: string;
  readonly gpuDevices?: readonly number[];
  /** The expected SHA-256 of files, by path. */
  readonly expected: ReadonlyMap<string, Digest>;
  /** The expected fs-verity digests of files, by path. */
  readonly expectedTree: ReadonlyMap<string, Digest>;
  readonly digest: DigestRule;
  readonly formatCheck: FormatCheck;
  /** False skips the serial SHA-256. Every file then needs an expected tree digest. */
  readonly flatDigest: boolean;
  /** 0 is no limit besides those of the worker. */
  readonly bytesPerSecond: number;
  readonly deadlineSeconds: number;
}

/** A text that is equal for equal requests, regardless of the order of their fields. */
export const fingerprintOf = (request: PullRequest): string => JSON.stringify(request, sortedFields);

/** A replacer that sorts the fields of objects. */
function sortedFields(_key: string, value: unknown): unknown {
  if (value instanceof Map) return [...value].sort(([a], [b]) => (a < b ? -1 : 1));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
