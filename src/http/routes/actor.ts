import type { FastifyRequest } from 'fastify';
import type { Actor } from '../../audit/actor.js';

/** The sender of a request, for the audit log. */
export const actorOf = ({ role, tokenFingerprint, id }: FastifyRequest): Actor => ({
  name: role === undefined ? 'public' : `${role}:${tokenFingerprint}`,
  requestId: id,
});
