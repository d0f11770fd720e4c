import type { FastifyInstance } from 'fastify';
import { auth } from './plugins/auth.js';
import { noRoute } from './plugins/error_handler.js';
import { pressure, rateLimits } from './plugins/limits.js';
import type { Tokens } from './plugins/tokens.js';
import { commitRoutes } from './routes/commit.js';
import { deviceRoutes } from './routes/devices.js';
import { handleRoutes } from './routes/handles.js';
import { planRoutes } from './routes/plan.js';
import { readyRoutes } from './routes/ready.js';
import { reservationRoutes } from './routes/reservations.js';
import type { RouteOptions } from './routes/route_options.js';
import { shardRoutes } from './routes/shards.js';
import { uploadRoutes } from './routes/upload.js';

/**
 * Everything under `/v1`: who may come in, how often, and the routes. A path that is not there asks for a token too.
 */
export async function v1(
  app: FastifyInstance,
  { residency, config, credentials }: RouteOptions & { readonly credentials: Tokens },
): Promise<void> {
  await app.register(rateLimits, { requestsPerSecond: config.requestsPerSecond });
  await app.register(auth, {
    credentials,
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

  const routes = [
    planRoutes,
    reservationRoutes,
    commitRoutes,
    uploadRoutes,
    shardRoutes,
    handleRoutes,
    readyRoutes,
    deviceRoutes,
  ];
  for (const plugin of routes) await app.register(plugin, { residency, config });
}
