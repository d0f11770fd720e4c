import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import type { Config } from '../config/load.js';
import type { Residency } from '../residency/residency.js';
import { schemaError } from './errors/to_worker_error.js';
import { bodyParsing } from './plugins/body_parsing.js';
import { errorHandler, reroute } from './plugins/error_handler.js';
import { gracefulClose } from './plugins/graceful_close.js';
import { logging, newRequestId, requestLogger } from './plugins/logging.js';
import { metrics } from './plugins/metrics.js';
import { openapi } from './plugins/openapi.js';
import { securityHeaders } from './plugins/security_headers.js';
import { Tokens, tokensOf } from './plugins/tokens.js';
import { contentTypeConstraint } from './routes/content_type_constraint.js';
import { keyRoutes } from './routes/keys.js';
import { probeRoutes } from './routes/probes.js';
import { components } from './schemas/index.js';
import { answerClientError, createHttpServer } from './server/http_server.js';
import type { TlsServers } from './server/tls_server.js';
import { v1 } from './v1.js';

export interface AppOptions {
  readonly residency: Residency;
  readonly config: Config;
  readonly logger: FastifyBaseLogger;
  /** Who may come in; by default those with the tokens of the configuration. */
  readonly credentials?: Tokens;
  /** Speaks TLS where it is given. */
  readonly tls?: TlsServers | undefined;
}

/**
 * Puts the HTTP worker together. It is ready for `listen` or `inject`; the residency is started and stopped by its
 * owner.
 */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const { residency, config, logger, tls } = options;
  const credentials = options.credentials ?? new Tokens(tokensOf(config));
  const app: FastifyInstance = fastify({
    serverFactory: (handler) =>
      createHttpServer(handler, {
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
  app.addConstraintStrategy(contentTypeConstraint);
  for (const component of components) app.addSchema(component);

  await app.register(logging);
  await app.register(errorHandler);
  await app.register(bodyParsing);
  await app.register(securityHeaders);
  await app.register(gracefulClose, { state: () => residency.state });
  await app.register(openapi);
  await app.register(metrics, { residency });

  await app.register(probeRoutes, { residency, config });
  await app.register(keyRoutes, { residency });
  await app.register(v1, { prefix: '/v1', residency, config, credentials });
  await app.ready();
  return app;
}
