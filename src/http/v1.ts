import type { FastifyInstance } from 'fastify';
import { auth } from './plugins/auth.js';
import { noRoute } from './plugins/error_handler.js';
import { rateLimits } from './plugins/limits.js';
import { pressure } from './plugins/pressure.js';
import type { Tokens } from './plugins/tokens.js';
import { auditRoutes } from './routes/audit.js';
import { commitRoutes } from './routes/commit.js';
import { deviceRoutes } from './routes/devices.js';
import { handleRoutes } from './routes/handles.js';
import { leaseRoutes } from './routes/leases.js';
import { overviewRoutes } from './routes/overview.js';
import { planRoutes } from './routes/plan.js';
import { pullEventRoutes } from './routes/pull_events.js';
import { pullRoutes } from './routes/pulls.js';
import { readyRoutes } from './routes/ready.js';
import { reservationRoutes } from './routes/reservations.js';
import type { RouteOptions } from './routes/route_options.js';
import { shardRoutes } from './routes/shards.js';
import { uploadRoutes } from './routes/upload.js';
import { resumableUploadRoutes } from './routes/uploads.js';

const routes = [
  planRoutes,
  reservationRoutes,
  commitRoutes,
  pullRoutes,
  pullEventRoutes,
  uploadRoutes,
  resumableUploadRoutes,
  shardRoutes,
  handleRoutes,
  readyRoutes,
  overviewRoutes,
  auditRoutes,
  deviceRoutes,
  leaseRoutes,
];

/** Everything under `/v1`: rate limit, authentication, load shedding, routes. Unknown paths need a token too. */
export async function v1(
  app: FastifyInstance,
  { residency, pulls, config, tokens, uploads, polling }: RouteOptions & { readonly tokens: Tokens },
): Promise<void> {
  await app.register(rateLimits, { requestsPerSecond: config.requestsPerSecond });
  await app.register(auth, {
    tokens,
    onFailure: (fingerprint, request) => residency.authFailed(fingerprint, request.ip, request.id),
  });
  await app.register(pressure, {});
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('cache-control', 'no-store');
    done();
  });
  app.setNotFoundHandler((request) => {
    throw noRoute(request);
  });
  for (const plugin of routes) await app.register(plugin, { residency, pulls, config, uploads, polling });
}
