import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ErrorCode } from '../../errors.js';
import { forbidden } from '../plugins/auth.js';
import { NoQuery } from '../schemas/common.js';
import { Plan, PlanBody, type PlanFields } from '../schemas/plan.js';
import { refTo } from '../schemas/ref.js';
import { jsonResponse } from '../schemas/response.js';
import { serializePlan, serializeSourcePlan } from '../serializers/plan.js';
import { abortOnDisconnect } from '../server/client_gone.js';
import { planRequestOf } from './plan_request.js';
import { earlyParser, type RouteOptions, typed } from './route_options.js';
import { sourceErrors } from './source_errors.js';

const planErrors: readonly ErrorCode[] = [
  ...(['FORBIDDEN', 'NOT_FOUND', 'TOO_MANY_COMMITS', 'HOST_OOM', 'STARTING', 'DRAINING', 'AUDIT_UNAVAILABLE'] as const),
  ...sourceErrors,
];

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
          'Returns 200 even if the model does not fit. With `reserve` the worker reserves the memory for later commits. With ' +
          '`source` the worker resolves the files of a model, checks their headers, and places each file.',
        tags: ['placement'],
        querystring: NoQuery,
        body: refTo(PlanBody),
        response: { 200: jsonResponse(Plan, 'The GPU of each shard, or why the model does not fit.') },
      },
      config: { access: 'read', errors: planErrors },
      preHandler: [requireOperatorToReserve, planRequest.preHandler],
    },
    async (request, reply) => {
      const planned = planRequest.of(request);
      if ('shardBytes' in planned) return serializePlan(residency.plan(planned));
      return serializeSourcePlan(await residency.planSource({ ...planned, signal: abortOnDisconnect(reply) }));
    },
  );
}

const requireOperatorToReserve = async ({ role, body }: FastifyRequest): Promise<void> => {
  if (role !== 'operator' && (body as PlanFields).reserve === true) throw forbidden();
};
