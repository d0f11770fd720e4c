import type { FastifyInstance, FastifyRequest } from 'fastify';
import { forbidden } from '../plugins/auth.js';
import { NoQuery } from '../schemas/common.js';
import { Plan, PlanBody, type PlanFields } from '../schemas/plan.js';
import { refTo } from '../schemas/ref.js';
import { jsonResponse } from '../schemas/response.js';
import { planRequest, planView } from '../serializers/plan.js';
import { type RouteOptions, reading, typed } from './route_options.js';

/** `POST /v1/plan`: whether a model fits, and where; can hold the memory. */
export async function planRoutes(app: FastifyInstance, { residency }: RouteOptions): Promise<void> {
  const request = reading(({ body }: { body: PlanFields }) => planRequest(body));
  typed(app).post(
    '/plan',
    {
      schema: {
        operationId: 'plan',
        summary: 'Say whether a model fits, and where',
        description: 'Always 200: a model that does not fit is an answer. With `reserve` the memory is held.',
        tags: ['placement'],
        querystring: NoQuery,
        body: refTo(PlanBody),
        response: { 200: jsonResponse(Plan, 'Where each shard would lie, or why it does not fit.') },
      },
      config: { access: 'read', errors: ['FORBIDDEN', 'STARTING', 'DRAINING', 'AUDIT_UNAVAILABLE'] },
      preHandler: [onlyOperatorsReserve, request.before],
    },
    async (call) => planView(residency.plan(request.of(call))),
  );
}

const onlyOperatorsReserve = async ({ role, body }: FastifyRequest): Promise<void> => {
  if (role !== 'operator' && (body as PlanFields).reserve === true) throw forbidden();
};
