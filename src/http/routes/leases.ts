import type { FastifyInstance } from 'fastify';
import { NoQuery } from '../schemas/common.js';
import { Lease, LeaseList, leaseParams, leasesQuery } from '../schemas/lease.js';
import { jsonResponse } from '../schemas/response.js';
import { shardParams } from '../schemas/shard.js';
import { serializeLease, serializeLeases } from '../serializers/lease.js';
import { actorOf } from './actor.js';
import { type RouteOptions, typed } from './route_options.js';

const tags = ['leases'];
const page = jsonResponse(LeaseList, 'One page of leases, in a stable order.');

interface LeasesQuery {
  readonly limit?: number;
  readonly cursor?: string;
}

const filterOf = ({ limit = 100, cursor }: LeasesQuery) => ({
  limit,
  ...(cursor === undefined ? {} : { after: cursor }),
});

/** `/v1/leases`: lists and ends the leases of processes that attached shards. */
export async function leaseRoutes(app: FastifyInstance, options: RouteOptions): Promise<void> {
  listLeases(app, options);
  listShardLeases(app, options);
  endLease(app, options);
}

function listLeases(app: FastifyInstance, { residency }: RouteOptions): void {
  typed(app).get(
    '/leases',
    {
      schema: {
        operationId: 'listLeases',
        summary: 'List the leases of other processes',
        tags,
        querystring: leasesQuery,
        response: { 200: page },
      },
      config: { access: 'read', errors: ['STARTING'] },
    },
    async ({ query }) => serializeLeases(residency.leases.page(filterOf(query))),
  );
}

function listShardLeases(app: FastifyInstance, { residency }: RouteOptions): void {
  typed(app).get(
    '/shards/:shard_id/leases',
    {
      schema: {
        operationId: 'listShardLeases',
        summary: 'List the leases on a shard',
        tags,
        params: shardParams,
        querystring: leasesQuery,
        response: { 200: page },
      },
      config: { access: 'read', errors: ['NOT_FOUND', 'STARTING'] },
    },
    async ({ query, params }) =>
      serializeLeases(residency.leases.page({ ...filterOf(query), shardId: params.shard_id })),
  );
}

function endLease(app: FastifyInstance, { residency }: RouteOptions): void {
  typed(app).delete(
    '/leases/:lease_id',
    {
      schema: {
        operationId: 'endLease',
        summary: 'Close the connection of a lease',
        description:
          'The process cannot resume the lease. This does not take the memory away: the process can read it until the ' +
          'process ends, and until then the lease is `lingering`. Other leases of the connection can be resumed.',
        tags,
        params: leaseParams,
        querystring: NoQuery,
        response: { 200: jsonResponse(Lease, 'The lease after this.') },
      },
      config: { body: 'none', errors: ['NOT_FOUND', 'STARTING', 'AUDIT_UNAVAILABLE'] },
    },
    async (request) => serializeLease(await residency.leases.revoke(request.params.lease_id, actorOf(request))),
  );
}
