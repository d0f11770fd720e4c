import { createHash } from 'node:crypto';
import { type Answer, shardsClaimOf } from '../../residency/status/attestation.js';
import { encodeInSlices } from '../../residency/status/json_pieces.js';
import type { ReadyReport } from '../../residency/status/readiness.js';
import { readinessJson, unattestedEnd } from '../serializers/ready.js';
import type { DriverInfo } from '../serializers/shard.js';

/** A serialized response. The body is never copied, so all clients of one state share it. */
export interface ReadyResponse {
  readonly status: 200 | 503;
  readonly body: Buffer;
  /** Identifies the body. */
  readonly etag: string;
  /** The revision of the state that the response describes. */
  readonly revision: number;
  /** It answers every query about the same model. */
  readonly isShared: boolean;
  /** What an attestation of it says. */
  readonly answer: () => Promise<Omit<Answer, 'atMs'>>;
  /** When the worker was in this state, in milliseconds since the epoch. */
  readonly madeAtMs: number;
}

/** Serializes a report in time slices. */
export async function createResponse(report: ReadyReport, driver: DriverInfo): Promise<ReadyResponse> {
  const madeAtMs = Date.now();
  const hash = createHash('sha256');
  const body = await encodeInSlices(readinessJson(report, driver), hash);
  const { ready, oldestVerifiedAtMs, sealed, handles } = report;
  let shardsClaim: Promise<Buffer> | undefined;
  return {
    status: ready ? 200 : 503,
    body,
    etag: `"${hash.digest('base64url').slice(0, 22)}"`,
    revision: report.revision,
    isShared: !report.isTooOld,
    madeAtMs,
    answer: async () => {
      shardsClaim ??= shardsClaimOf(sealed, handles === sealed);
      return { ready, oldestVerifiedAtMs, shardsClaim: await shardsClaim };
    },
  };
}

/** The same body with an attestation, as its shared start and its own end. */
export const withAttestation = ({ body }: ReadyResponse, attestation: string): [Buffer, Buffer] => [
  body.subarray(0, -unattestedEnd.length),
  Buffer.from(`${JSON.stringify(attestation)}}`),
];

/** Whether an `If-None-Match` header (RFC 9110 §13.1.2) contains this tag. */
export const matches = (header: string | undefined, etag: string): boolean =>
  header?.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag) ?? false;
