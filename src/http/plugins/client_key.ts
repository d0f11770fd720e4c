import type { FastifyRequest } from 'fastify';
import { networkOf } from '../server/network.js';

/** The key of a request's client in limits: its valid token, or the network of its address. */
export const clientKeyOf = ({ role, tokenFingerprint, ip }: FastifyRequest): string =>
  role === undefined ? networkOf(ip) : tokenFingerprint;
