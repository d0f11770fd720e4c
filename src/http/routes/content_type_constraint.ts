import type { FastifyInstance } from 'fastify';

type Strategy = Parameters<FastifyInstance['addConstraintStrategy']>[0];
type Handler = Parameters<ReturnType<Strategy['storage']>['set']>[1];

/** Selects between two routes on one path by content type: JSON, or any other. Each has its own schema. */
export const contentTypeConstraint: Strategy = {
  name: 'media',
  storage() {
    const handlers = new Map<unknown, Handler>();
    return {
      get: (kind) => handlers.get(kind) ?? null,
      set: (kind, handler) => void handlers.set(kind, handler),
      del: (kind) => void handlers.delete(kind),
      empty: () => handlers.clear(),
    };
  },
  validate: () => true,
  deriveConstraint: (request) =>
    request.headers['content-type']?.trimStart().toLowerCase().startsWith('application/json') === true
      ? 'json'
      : 'other',
};
