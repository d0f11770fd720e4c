import { createHash } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { type AuditFields, AuditPage, auditQuery, defaultAuditLimit } from '../schemas/audit.js';
import { jsonResponse, noContent } from '../schemas/response.js';
import { matches } from './ready_response.js';
import type { RouteOptions } from './route_options.js';
import { sendShared } from './shared_body.js';

const schema = {
  operationId: 'listAuditEntries',
  summary: 'List entries of the audit log',
  description:
    'Returns entries that are on disk, the newest first, across rotated files. It cannot show that the end of the log is ' +
    'missing: `vram-worker audit verify` with a kept checkpoint can. Reading the log does not write to it.',
  tags: ['audit'],
  querystring: auditQuery,
  response: {
    200: jsonResponse(AuditPage, 'One page of entries.'),
    304: noContent('The page is unchanged since the response that `If-None-Match` names.'),
  },
};

/** `GET /v1/audit`: pages of the audit log, for the operator alone. */
export async function auditRoutes(app: FastifyInstance, { residency }: RouteOptions): Promise<void> {
  app.get<{ Querystring: AuditFields }>(
    '/audit',
    { schema, config: { quiet: true, errors: ['NOT_FOUND', 'AUDIT_UNAVAILABLE'] } },
    async (request, reply) => {
      const { limit = defaultAuditLimit, before_seq } = request.query;
      const { lines, nextBeforeSeq } = await residency.auditReader.page(limit, before_seq);
      const pieces = lines.flatMap((line, index) => (index === 0 ? [line] : [comma, line]));
      const end = Buffer.from(`],"next_before_seq":${nextBeforeSeq}}`);
      const shared = Buffer.concat([start, ...pieces, end]);
      const tag = `"${createHash('sha256').update(shared).digest('base64url').slice(0, 22)}"`;
      reply.header('etag', tag).header('cache-control', 'no-cache');
      if (matches(request.headers['if-none-match'], tag)) return reply.code(304).send();
      return sendShared(request, reply, { shared });
    },
  );
}

const start = Buffer.from('{"entries":[');
const comma = Buffer.from(',');
