import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyPluginAsync,
  type FastifyServerOptions,
  LogController,
} from 'fastify';
import type { Config } from '../config/load.js';
import type { PullQueue } from '../pulls/pull_queue.js';
import type { Residency } from '../residency/residency.js';
import { Uploads } from '../uploads/uploads.js';
import { bodyParsing } from './plugins/body_parsing.js';
import { docsPage } from './plugins/docs_page.js';
import { DroppedLines } from './plugins/dropped_lines.js';
import { errorHandler, reroute } from './plugins/error_handler.js';
import { gracefulClose } from './plugins/graceful_close.js';
import { logging, newRequestId, requestLogger } from './plugins/logging.js';
import { metrics } from './plugins/metrics.js';
import { openRateLimit } from './plugins/open_rate_limit.js';
import { openapi } from './plugins/openapi.js';
import { requestEnd } from './plugins/request_end.js';
import { securityHeaders } from './plugins/security_headers.js';
import { Tokens, tokensOf } from './plugins/tokens.js';
import { unreadResponses } from './plugins/unread_responses.js';
import { validationOptions } from './plugins/validation.js';
import { contentTypeConstraint } from './routes/content_type_constraint.js';
import { keyRoutes } from './routes/keys.js';
import { pageRoutes } from './routes/page.js';
import { createPolling, isLongPoll, type Polling } from './routes/polling.js';
import { probeRoutes } from './routes/probes.js';
import { components } from './schemas/index.js';
import { answerClientError } from './server/client_error.js';
import { Connections } from './server/connections.js';
import { createHttpServer, maxConnections } from './server/http_server.js';
import type { TlsServers } from './server/tls_server.js';
import { v1 } from './v1.js';

/** The assembled server, for layers that do not know Fastify. */
export type App = FastifyInstance;

export interface AppOptions {
  readonly residency: Residency;
  /** The pulls of whole models. */
  readonly pulls: PullQueue;
  readonly config: Config;
  readonly logger: FastifyBaseLogger;
  /** The resumable uploads; by default new ones. */
  readonly uploads?: Uploads;
  /** The valid tokens; by default those of the configuration. */
  readonly tokens?: Tokens;
  /** The log lines that the worker did not write, for the metrics. */
  readonly droppedLines?: DroppedLines;
  /** Collects the schemas of the routes: `openapiGenerator`. */
  readonly generator?: FastifyPluginAsync;
  /** Serves HTTPS; without it plain HTTP. */
  readonly tls?: TlsServers | undefined;
}

/** Composes the HTTP API, ready for `listen` or `inject`. The caller starts and stops the residency. */
export async function buildApp(options: AppOptions): Promise<App> {
  const { residency, pulls, config } = options;
  const uploads = options.uploads ?? new Uploads(residency, { resumeSeconds: config.uploadResumeSeconds });
  const tokens = options.tokens ?? new Tokens(tokensOf(config));
  const connections = connectionsOf(config);
  const polling = createPolling({ residency, pulls, connections, tokens });
  const app: App = fastify({
    ...serverOptions(options, connections, polling),
    ...validationOptions,
    frameworkErrors: (_error, request, reply) => reroute(app, request, reply),
  });
  app.addConstraintStrategy(contentTypeConstraint);
  for (const component of components) app.addSchema(component);

  await app.register(requestEnd);
  await app.register(logging);
  await app.register(errorHandler);
  await app.register(openRateLimit, { tokens, requestsPerSecond: config.requestsPerSecond });
  await app.register(unreadResponses);
  await app.register(bodyParsing);
  await app.register(securityHeaders);
  await app.register(gracefulClose, { isLeaving: () => residency.isLeaving });
  if (options.generator !== undefined) await app.register(options.generator);
  await app.register(openapi);
  await app.register(docsPage);
  const droppedLines = options.droppedLines ?? new DroppedLines();
  const { waiters, slots } = polling;
  await app.register(metrics, { residency, pulls, uploads, connections, droppedLines, waiters, slots });

  await app.register(pageRoutes);
  await app.register(probeRoutes, { residency });
  await app.register(keyRoutes, { residency });
  app.addHook('preClose', async () => slots.close());
  const routeOptions = { residency, pulls, config, uploads, polling };
  await app.register(v1, { prefix: '/v1', tokens, ...routeOptions });
  await app.ready();
  polling.repeated.start(app);
  return app;
}

const connectionsOf = ({ connectionsPerAddress: maxPerAddress, attachSocket }: Config): Connections =>
  new Connections({ maxConnections, maxPerAddress, sharesWithAttach: attachSocket !== undefined });

const serverOptions = (
  { config, logger, tls }: AppOptions,
  connections: Connections,
  { repeated, starts }: Polling,
): FastifyServerOptions => ({
  serverFactory: (handler) =>
    createHttpServer(
      (request, response) => {
        const run = () => {
          // Over TLS, the address of a client that has left is no longer known, for limits and for the audit log.
          if (!request.socket.destroyed) handler(request, response);
        };
        if (isLongPoll(request)) starts.add(run);
        else if (!repeated.answer(request, response)) run();
      },
      {
        connections,
        headersTimeoutMs: config.headersTimeoutSeconds * 1000,
        keepaliveMs: config.keepaliveSeconds * 1000,
        ...(tls === undefined ? {} : { create: tls.create }),
      },
    ),
  // Makes Fastify print https addresses. It does not create a server, because of the serverFactory.
  ...(tls === undefined ? {} : { https: {} }),
  clientErrorHandler: answerClientError,
  return503OnClosing: false,
  loggerInstance: logger,
  logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
  childLoggerFactory: requestLogger,
  genReqId: newRequestId,
});
