import Type, { type Static } from 'typebox';
import { namedSchema, QueryInteger, strictObject } from './make.js';

/** Entries in one page. */
const maxAuditLimit = 500;
export const defaultAuditLimit = 50;

/** Entries are never validated, so that a later version of the worker can read the log of an earlier one. */
const AuditEntry = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  additionalProperties: true,
  required: ['seq', 'time', 'event', 'severity', 'actor', 'request_id', 'previous', 'checksum'],
  properties: {
    seq: Type.Integer({ minimum: 1, description: 'Number of the entry.' }),
    time: Type.String({
      format: 'date-time',
      description: 'When the event was recorded. After an outage of the log, the line is written later.',
    }),
    event: Type.String({ description: 'Type of the event.' }),
    severity: Type.String({ description: '`info`, `warning` or `critical`.' }),
    actor: Type.String({
      description:
        'Role and fingerprint of the token, `uid:` and the user of a process, `unauthenticated`, or `worker`.',
    }),
    request_id: Type.Unsafe<string | null>({ type: ['string', 'null'], description: 'Id of the request.' }),
    previous: Type.String({ description: 'SHA-256 of the previous line, in hex.' }),
    checksum: Type.String({ description: 'SHA-256 of the line up to `,"checksum"`, in hex.' }),
  },
  description: 'An entry, exactly as the log has it. The fields depend on the event.',
});

export const AuditPage = namedSchema(
  'AuditPage',
  {
    entries: Type.Array(AuditEntry, {
      maxItems: maxAuditLimit,
      description: 'The newest first. The bytes of each object are those of its line in the log.',
    }),
    next_before_seq: Type.Unsafe<number | null>({
      type: ['integer', 'null'],
      minimum: 1,
      description: 'Send it as `before_seq` to get older entries. Null if there are none.',
    }),
  },
  'A page of the audit log.',
);
export type AuditPageJson = Static<typeof AuditPage>;

export const auditQuery = strictObject({
  limit: Type.Optional(
    QueryInteger(
      { minimum: 1, maximum: maxAuditLimit },
      `Entries per page. Default: ${defaultAuditLimit}. A page of more than 1 MiB has fewer.`,
    ),
  ),
  before_seq: Type.Optional(
    QueryInteger(
      { minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
      'Return entries with smaller numbers: the `next_before_seq` of the previous page. Default: the newest entries.',
    ),
  ),
});
export type AuditFields = Static<typeof auditQuery>;
