import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import type { Config } from './config.js';
import { Credentials, credentialsOf } from './http/credentials.js';
import { answerClientError, createListener } from './http/listener.js';
import { media } from './http/media.js';
import { bodies } from './http/plugins/bodies.js';
import { drain } from './http/plugins/drain.js';
import { headers } from './http/plugins/headers.js';
import { logging, newRequestId, requestLogger } from './http/plugins/logging.js';
import { metrics } from './http/plugins/metrics.js';
import { openapi } from './http/plugins/openapi.js';
import { refusals, reroute } from './http/plugins/refusals.js';
import { schemaError } from './http/refusal.js';
import { keyRoutes } from './http/routes/keys.js';
import { probeRoutes } from './http/routes/probes.js';
import { components } from './http/schemas/index.js';
import type { TlsListeners } from './http/tls.js';
import { v1 } from './http/v1.js';
import type { Residency } from './residency/residency.js';

export interface AppOptions {
  readonly residency: Residency;
  readonly config: Config;
  readonly logger: FastifyBaseLogger;
  /** Who may come in; by default those with the tokens of the configuration. */
  readonly credentials?: Credentials;
  /** Speaks TLS where it is given. */
  readonly tls?: TlsListeners | undefined;
}

/**
 * Puts the HTTP worker together. It is ready for `listen` or `inject`; the residency is started and stopped by its
 * owner.
 */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const { residency, config, logger, tls } = options;
  const credentials = options.credentials ?? new Credentials(credentialsOf(config));
  const app: FastifyInstance = fastify({
    serverFactory: (handler) =>
      createListener(handler, {
        headersTimeoutMs: config.headersTimeoutSeconds * 1000,
        ...(tls === undefined ? {} : { create: tls.create }),
      }),
    // Fastify makes no server of its own; it says in the addresses that it gives what is spoken there.
    ...(tls === undefined ? {} : ({ https: {} } as object)),
    clientErrorHandler: answerClientError,
    frameworkErrors: (_error, request, reply) => reroute(app, request, reply),
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    childLoggerFactory: requestLogger,
    genReqId: newRequestId,
    return503OnClosing: false,
    routerOptions: { maxParamLength: 1024 },
    schemaErrorFormatter: schemaError,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false } },
    // Compiling a serializer for every answer costs more at start than they would ever save.
    schemaController: { compilersFactory: { buildSerializer: () => () => JSON.stringify } },
  });
  app.addConstraintStrategy(media);
  for (const component of components) app.addSchema(component);

  await app.register(logging);
  await app.register(refusals);
  await app.register(bodies);
  await app.register(headers);
  await app.register(drain, { state: () => residency.state });
  await app.register(openapi);
  await app.register(metrics, { residency });

  await app.register(probeRoutes, { residency, config });
  await app.register(keyRoutes, { residency });
  await app.register(v1, { prefix: '/v1', residency, config, credentials });
  await app.ready();
  return app;
}
