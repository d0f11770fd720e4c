import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { NoQuery } from '../schemas/common.js';
import { type PullParams, pullParams } from '../schemas/pull.js';
import { eventStream } from './event_stream.js';
import type { RouteOptions } from './route_options.js';
import { WaitSlots } from './wait_slots.js';

/** Clients of each role that watch pulls at the same time. Each has a part of a stream in memory. */
const maxWatchers = 64;

const schema = {
  operationId: 'watchPull',
  summary: 'Watch a pull',
  description:
    'Server-sent events, until the pull has ended. `snapshot`: the pull, first. `progress`: its figures, at most twice ' +
    'a second. `retry`: a request to the source failed, and another attempt follows. `file`: a file has another ' +
    'state. `end`: the pull, last. A client that reads slowly gets the newest state. A comment is sent every 15 ' +
    'seconds without an event.',
  tags: ['pulls'],
  params: pullParams,
  querystring: NoQuery,
  response: {
    200: { description: 'The events.', content: { 'text/event-stream': { schema: { type: 'string' } } } },
  },
};

/** `GET /v1/pulls/{pull_id}/events`: the progress of a pull as server-sent events. */
export async function pullEventRoutes(app: FastifyInstance, { pulls }: RouteOptions): Promise<void> {
  const slots = new WaitSlots(maxWatchers, 'poll the pull');
  app.get<{ Params: PullParams }>(
    '/pulls/:pull_id/events',
    { exposeHeadRoute: false, schema, config: { access: 'read', errors: ['NOT_FOUND'] } },
    async (request, reply) => {
      const pull = pulls.require(request.params.pull_id);
      const { signal, end, release } = slots.take(request);
      const leave = () => {
        end();
        release();
      };
      if (reply.raw.destroyed) leave();
      else reply.raw.once('close', leave);
      // A client that does not read would keep its part of a stream without a place.
      signal.addEventListener('abort', () => reply.raw.writableNeedDrain && reply.raw.destroy(), { once: true });
      const stream = Readable.from(eventStream(pull, signal), { objectMode: false, highWaterMark: 1 });
      reply.header('content-type', 'text/event-stream').header('x-accel-buffering', 'no');
      return reply.send(stream);
    },
  );
}
