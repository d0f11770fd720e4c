import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Overview, type OverviewFields, overviewQuery } from '../schemas/overview.js';
import { jsonResponse, noContent } from '../schemas/response.js';
import { matches } from './ready_response.js';
import type { RouteOptions } from './route_options.js';
import { sendShared } from './shared_body.js';

type OverviewRequest = FastifyRequest<{ Querystring: OverviewFields }>;

const schema = {
  operationId: 'overview',
  summary: 'Get one snapshot of the whole worker',
  description:
    'The worker, its GPUs, shards, models and pulls at one moment, for a page that polls it. The parts of each ' +
    'GPU add up to its memory. The response is prepared once for each change, and for the progress of transfers once a ' +
    'second. Send `If-None-Match` to get 304 while nothing changes, and `wait_seconds` to wait for a change. After a ' +
    '304, the snapshot is valid at the `Date` of that response, unless a proxy replaces it. `Server-Timing: wait;dur=` has ' +
    'the milliseconds that the request waited, so the snapshot is also valid that long after the request was sent. Only the ' +
    'progress of transfers can be a second older.',
  tags: ['readiness'],
  querystring: overviewQuery,
  response: {
    200: jsonResponse(Overview, 'The snapshot.'),
    304: noContent('Nothing changed since the response that `If-None-Match` names.'),
  },
};

/** `GET /v1/overview`: one snapshot of the whole worker. */
export async function overviewRoutes(app: FastifyInstance, { residency, polling }: RouteOptions): Promise<void> {
  const { overviews, overviewWaiters, slots } = polling;
  app.get<{ Querystring: OverviewFields }>(
    '/overview',
    { schema, config: { access: 'read', quiet: true, errors: [] } },
    async (request, reply) => {
      const known = request.headers['if-none-match'];
      await waitForChange(request, reply, known);
      if (known !== undefined) {
        const { tag } = overviews;
        if (matches(known, tag)) return setHeaders(reply, tag).code(304).send();
      }
      const { tag, body } = await overviews.get();
      setHeaders(reply, tag);
      return matches(known, tag) ? reply.code(304).send() : sendShared(request, reply, body);
    },
  );

  async function waitForChange(request: OverviewRequest, reply: FastifyReply, known: string | undefined) {
    const { wait_seconds } = request.query;
    if (wait_seconds === undefined || known === undefined) return;
    const seen = overviews.firstCurrent(known.split(',').map((tag) => tag.trim().replace(/^W\//, '')));
    if (seen === undefined) return;
    await slots.hold(request, reply, wait_seconds, (end) => overviewWaiters.wait(seen, end));
    reply.header('server-timing', `wait;dur=${Math.floor(request.waitedMs)}`);
  }

  /** The tag is weak, because the moment in the body differs. */
  const setHeaders = (reply: FastifyReply, tag: string): FastifyReply => {
    if (residency.isLeaving) reply.header('connection', 'close');
    return reply.header('etag', `W/${tag}`).header('cache-control', 'no-cache');
  };
}
