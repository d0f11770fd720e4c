import type { FastifyRequest } from 'fastify';
import type { Origin } from '../../audit/actor.js';

/** Who sent a request, as the audit log names it. */
export const originOf = ({ role, tokenFingerprint, id }: FastifyRequest): Origin => ({
  actor: role === undefined ? 'public' : `${role}:${tokenFingerprint}`,
  requestId: id,
});
