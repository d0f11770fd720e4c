import Type, { type Static } from 'typebox';
import { leaseStates } from '../../residency/state/lease.js';
import { ShardId } from './common.js';
import { Instant, namedSchema, oneOf, QueryInteger, strictObject } from './make.js';
import { refTo } from './ref.js';

const LeaseId = Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$', description: 'Id of the lease.' });

export const Lease = namedSchema(
  'Lease',
  {
    lease_id: LeaseId,
    shard_id: ShardId,
    state: oneOf(
      leaseStates,
      '`granted`: the memory is about to be sent. `active`: the process is connected. `lingering`: the process is alive ' +
        'without a connection, and may still read the memory. `orphaned`: an earlier worker granted the lease, and the ' +
        'process has not resumed it. `ended`: the process detached or ended, or never got the memory; or ' +
        'it disconnected, and the worker cannot watch it.',
    ),
    uid: Type.Integer({ description: 'User of the process.' }),
    gid: Type.Integer({ description: 'Group of the process.' }),
    pid: Type.Unsafe<number | null>({
      type: ['integer', 'null'],
      description: 'Process id. Null if the process is in another pid namespace.',
    }),
    label: Type.Unsafe<string | null>({ type: ['string', 'null'], description: 'Text that the process sent.' }),
    granted_at: Instant('When the lease began.'),
  },
  'A process that has attached a shard.',
);
export type LeaseJson = Static<typeof Lease>;

export const LeaseList = namedSchema(
  'LeaseList',
  {
    leases: Type.Array(refTo(Lease), { description: 'Ordered by `lease_id`.' }),
    next_cursor: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: 'Send it as `cursor` to get the next page. Null on the last page.',
    }),
  },
  'One page of leases.',
);
export type LeaseListJson = Static<typeof LeaseList>;

export const leaseParams = strictObject({ lease_id: LeaseId });

export const leasesQuery = strictObject({
  limit: Type.Optional(QueryInteger({ minimum: 1, maximum: 1000 }, 'Leases per page. Default: 100.')),
  cursor: Type.Optional(
    Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$', description: 'The `next_cursor` of the previous page.' }),
  ),
});
