import type { FastifyRequest } from 'fastify';
import type { Actor } from '../../audit/actor.js';

/** Who sent a request, as the audit log names it. */
export const actorOf = ({ role, tokenFingerprint, id }: FastifyRequest): Actor => ({
  name: role === undefined ? 'public' : `${role}:${tokenFingerprint}`,
  requestId: id,
});
