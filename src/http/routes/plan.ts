import type { FastifyInstance, FastifyRequest } from 'fastify';
import { forbidden } from '../plugins/auth.js';
import { NoQuery } from '../schemas/common.js';
import { Plan, PlanBody, type PlanFields } from '../schemas/plan.js';
import { refTo } from '../schemas/ref.js';
import { jsonResponse } from '../schemas/response.js';
import { serializePlan } from '../serializers/plan.js';
import { planRequestOf } from './plan_request.js';
import { earlyParser, type RouteOptions, typed } from './route_options.js';

/** `POST /v1/plan`: checks whether a model fits, and can reserve the memory. */
export async function planRoutes(app: FastifyInstance, { residency }: RouteOptions): Promise<void> {
  const planRequest = earlyParser(({ body }: { body: PlanFields }) => planRequestOf(body));
  typed(app).post(
    '/plan',
    {
      schema: {
        operationId: 'plan',
        summary: 'Check whether a model fits, and where',
        description:
          'Returns 200 even if the model does not fit. With `reserve` the worker reserves the memory for later commits.',
        tags: ['placement'],
        querystring: NoQuery,
        body: refTo(PlanBody),
        response: { 200: jsonResponse(Plan, 'The GPU of each shard, or why the model does not fit.') },
      },
      config: { access: 'read', errors: ['FORBIDDEN', 'STARTING', 'DRAINING', 'AUDIT_UNAVAILABLE'] },
      preHandler: [requireOperatorToReserve, planRequest.preHandler],
    },
    async (request) => serializePlan(residency.plan(planRequest.of(request))),
  );
}

const requireOperatorToReserve = async ({ role, body }: FastifyRequest): Promise<void> => {
  if (role !== 'operator' && (body as PlanFields).reserve === true) throw forbidden();
};
