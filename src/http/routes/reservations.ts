import type { FastifyInstance } from 'fastify';
import { NoQuery } from '../schemas/common.js';
import { RenewBody, Reservation, reservationParams } from '../schemas/plan.js';
import { refTo } from '../schemas/ref.js';
import { jsonResponse, noContent } from '../schemas/response.js';
import { serializeReservation } from '../serializers/plan.js';
import { type RouteOptions, typed } from './route_options.js';

/** `/v1/reservations/{id}`: renews or cancels a reservation. */
export async function reservationRoutes(app: FastifyInstance, { residency }: RouteOptions): Promise<void> {
  const schema = { tags: ['placement'], querystring: NoQuery, params: reservationParams };

  typed(app).post(
    '/reservations/:id/renew',
    {
      schema: {
        ...schema,
        operationId: 'renewReservation',
        summary: 'Renew a reservation',
        body: refTo(RenewBody),
        response: { 200: jsonResponse(Reservation, 'The reservation with its new expiry.') },
      },
      config: { bodyOptional: true, errors: ['NOT_FOUND', 'RESERVATION_EXPIRED', 'AUDIT_UNAVAILABLE'] },
    },
    async ({ params, body }) => serializeReservation(residency.renewReservation(params.id, body.ttl_seconds)),
  );

  typed(app).delete(
    '/reservations/:id',
    {
      schema: {
        ...schema,
        operationId: 'dropReservation',
        summary: 'Cancel a reservation',
        response: { 204: noContent('The reserved memory is free.') },
      },
      config: { body: 'none', errors: ['NOT_FOUND', 'RESERVATION_EXPIRED', 'AUDIT_UNAVAILABLE'] },
    },
    async ({ params }, reply) => {
      residency.dropReservation(params.id);
      return reply.code(204).send(undefined);
    },
  );
}
