import type { FastifyInstance } from 'fastify';
import { NoQuery } from '../schemas/common.js';
import { RenewBody, Reservation, reservationParams } from '../schemas/plan.js';
import { refTo } from '../schemas/ref.js';
import { jsonResponse, noContent } from '../schemas/response.js';
import { reservationView } from '../serializers/plan.js';
import { type RouteOptions, typed } from './route_options.js';

/** `/v1/reservations/{id}`: keeps reserved memory longer, or gives it back. */
export async function reservationRoutes(app: FastifyInstance, { residency }: RouteOptions): Promise<void> {
  const schema = { tags: ['placement'], querystring: NoQuery, params: reservationParams };

  typed(app).post(
    '/reservations/:id/renew',
    {
      schema: {
        ...schema,
        operationId: 'renewReservation',
        summary: 'Hold reserved memory longer',
        body: refTo(RenewBody),
        response: { 200: jsonResponse(Reservation, 'When it ends now.') },
      },
      config: { bodyOptional: true, errors: ['NOT_FOUND', 'RESERVATION_EXPIRED', 'AUDIT_UNAVAILABLE'] },
    },
    async ({ params, body }) => reservationView(residency.renewReservation(params.id, body.ttl_seconds)),
  );

  typed(app).delete(
    '/reservations/:id',
    {
      schema: {
        ...schema,
        operationId: 'dropReservation',
        summary: 'Give reserved memory back',
        response: { 204: noContent('The memory is free.') },
      },
      config: { body: 'none', errors: ['NOT_FOUND', 'RESERVATION_EXPIRED', 'AUDIT_UNAVAILABLE'] },
    },
    async ({ params }, reply) => {
      residency.dropReservation(params.id);
      return reply.code(204).send(undefined);
    },
  );
}
