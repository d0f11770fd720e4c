/**
 * A Fastify app with the worker's plugins and options, but without authentication or a GPU. Serves the bytes of a file with
 * an entity tag at `/v1/ready` and `/v1/devices`.
 *
 *     node fastify_app.mjs PORT FILE [ETAG]
 */
import { readFileSync } from 'node:fs';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import underPressure from '@fastify/under-pressure';
import fastify, { LogController } from 'fastify';
import { Histogram, Registry } from 'prom-client';

const [port, path, etag = '"bench"'] = process.argv.slice(2);
const body = readFileSync(path);
const app = fastify({ logger: { level: 'info' }, logController: new LogController({ disableRequestLogging: true }) });

await app.register(helmet, {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      'default-src': ["'self'"],
      'base-uri': ["'none'"],
      'form-action': ["'self'"],
      'frame-ancestors': ["'none'"],
      'img-src': ["'self'", 'data:'],
      'object-src': ["'none'"],
      'style-src': ["'self'", "'unsafe-inline'"],
    },
  },
  strictTransportSecurity: false,
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
});
await app.register(swagger, { openapi: { openapi: '3.1.0', info: { title: 'baseline', version: '1' } } });
await app.register(swaggerUi, { routePrefix: '/docs' });
await app.register(rateLimit, { max: 1000, timeWindow: 1000 });
await app.register(underPressure, { maxEventLoopDelay: 2000, maxHeapUsedBytes: 3 * 2 ** 30 });

const registry = new Registry();
const seconds = new Histogram({
  name: 'baseline_http_request_seconds',
  help: 'Duration of HTTP requests',
  labelNames: ['method', 'route', 'status'],
  registers: [registry],
});
app.addHook('onResponse', (request, reply, done) => {
  const labels = { method: request.method, route: request.routeOptions.url, status: reply.statusCode };
  seconds.observe(labels, reply.elapsedTime / 1000);
  done();
});
app.get('/metrics', async () => registry.metrics());

const send = async (request, reply) => {
  reply.header('etag', etag).header('cache-control', 'no-cache');
  if (request.headers['if-none-match'] === etag) return reply.code(304).send();
  return reply.header('content-type', 'application/json; charset=utf-8').send(body);
};
app.get('/v1/ready', { config: { rateLimit: false } }, send);
app.get('/v1/devices', { config: { rateLimit: false } }, send);
await app.listen({ host: '127.0.0.1', port: Number(port) });
