import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { readOnce } from './read_once.js';

/** All URLs are relative, so that the page also works behind a proxy that adds a prefix to the path. */
const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>vram-residency</title>
<link rel="stylesheet" href="static/swagger-ui.css">
<link rel="stylesheet" href="static/index.css">
<link rel="icon" type="image/png" href="static/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="static/swagger-ui-bundle.js"></script>
<script src="static/start.js"></script>
</body>
</html>
`;

const start = `SwaggerUIBundle({
  url: new URL('../openapi.json', window.location.href).href,
  dom_id: '#swagger-ui',
  deepLinking: true,
  docExpansion: 'list',
  tryItOutEnabled: true,
  validatorUrl: null,
});
`;

const html = 'text/html; charset=utf-8';
const javascript = 'text/javascript; charset=utf-8';
const css = 'text/css; charset=utf-8';

/** The files of Swagger UI that the page needs. */
const assets = {
  'swagger-ui-bundle.js': javascript,
  'swagger-ui.css': css,
  'index.css': css,
  'favicon-32x32.png': 'image/png',
};

/** `/docs/`: a page to read and try the API. It reads each file once, and keeps it: about 2 MB in all. */
export const docsPage = fp(async (app: FastifyInstance) => {
  const folder = join(dirname(createRequire(import.meta.url).resolve('@fastify/swagger-ui')), 'static');
  const serve = (path: string, type: string, body: () => string | Promise<Buffer>): void => {
    app.get(path, hidden, async (_request, reply) => reply.header('content-type', type).send(await body()));
  };
  app.get('/docs', hidden, async (_request, reply) => reply.redirect('docs/'));
  serve('/docs/', html, () => page);
  serve('/docs/static/start.js', javascript, () => start);
  for (const [name, type] of Object.entries(assets)) {
    serve(`/docs/static/${name}`, type, readOnce(join(folder, name)));
  }
});

const hidden = { schema: { hide: true }, config: { quiet: true } };
