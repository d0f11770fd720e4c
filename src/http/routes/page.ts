import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';
import { matches } from './ready_response.js';

/** The page loads three files and calls the API of its own origin. It creates no markup from text. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** The paths of the page, their files in the folder `ui`, and their content types. */
const files = [
  ['/ui/', 'index.html', 'text/html; charset=utf-8'],
  ['/ui/page.css', 'page.css', 'text/css; charset=utf-8'],
  ['/ui/page.js', 'page.js', 'text/javascript; charset=utf-8'],
] as const;

const hidden = { schema: { hide: true }, config: { quiet: true } };

/**
 * `/ui/`: the page that shows the memory. It contains no data, so it needs no token. Its files are read once, at the
 * start, so that all three are of one version. Redirects are relative, for proxies that add a prefix to the path.
 */
export async function pageRoutes(app: FastifyInstance): Promise<void> {
  app.get('/', hidden, async (_request, reply) => reply.redirect('ui/'));
  app.get('/ui', hidden, async (_request, reply) => reply.redirect('ui/'));
  await Promise.all(files.map(([path, name, type]) => serve(app, path, name, type)));
}

async function serve(app: FastifyInstance, path: string, name: string, type: string): Promise<void> {
  const body = await readFile(new URL(`../../../ui/${name}`, import.meta.url));
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  const headers = { etag, 'cache-control': 'no-cache', 'content-security-policy': policy, 'x-frame-options': 'DENY' };
  app.get(path, hidden, async (request, reply) => {
    reply.headers(headers);
    if (matches(request.headers['if-none-match'], etag)) return reply.code(304).send();
    return reply.header('content-type', type).send(body);
  });
}
