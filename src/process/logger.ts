import { type DestinationStream, type Logger, pino, symbols } from 'pino';
import { DroppedLines } from '../http/plugins/dropped_lines.js';
import { withoutPaths } from '../http/plugins/error_fields.js';
import { logFields, logSerializers, ownerOf } from '../http/plugins/logging.js';
import { type Output, standardOutput } from './output.js';

/** The logger of the process. It drops every field that `logFields` does not list. */
export function createLogger(level: string, destination: DestinationStream): Logger {
  return pino(
    {
      level,
      serializers: logSerializers,
      formatters: { log: allowed },
      hooks: {
        logMethod(args, method) {
          method.apply(this, args.map(withoutPathsInText) as typeof args);
        },
      },
    },
    destination,
  );
}

/** The log of the process, on standard output. */
export interface WorkerLog {
  readonly logger: Logger;
  readonly droppedLines: DroppedLines;
}

/** Opens the log. It also gets the warnings of Node, which would be written to standard error by a call that can block. */
export function openLog(level: string): WorkerLog {
  const droppedLines = new DroppedLines();
  const stream = new LogStream(standardOutput, droppedLines);
  const logger = createLogger(level, stream);
  stream.reportTo(logger);
  process.removeAllListeners('warning');
  process.on('warning', (warning) => logger.warn({ err: warning }, 'warning of Node'));
  return { logger, droppedLines };
}

/** The level of pino from which a line is an error. */
const errorLevel = 50;

/** Lines of requests without a valid token that are written per second. */
const maxUnauthenticatedLines = 20;

/** Writes the lines of a logger to an output. It counts the lines that it drops, and later logs their number. */
export class LogStream implements DestinationStream {
  /** Makes pino set the fields below before it calls `write`. */
  readonly [symbols.needsMetadataGsym] = true;
  lastLevel = 0;
  lastLogger: object = {};
  readonly #output: Output;
  readonly #dropped: DroppedLines;
  #secondStartMs = 0;
  #linesInSecond = 0;

  constructor(output: Output, dropped: DroppedLines) {
    this.#output = output;
    this.#dropped = dropped;
    output.observe((kind) => dropped.add(kind));
  }

  write(line: string): void {
    const owner = ownerOf(this.lastLogger);
    if (owner === 'unauthenticated' && !this.#isWithinRate()) return void this.#dropped.add('unauthenticated');
    const isError = this.lastLevel >= errorLevel;
    this.#output.put(line, isError ? 'error' : owner === 'worker' ? 'worker' : 'request');
  }

  /** Logs once a second how many lines were dropped, if the output works again. */
  reportTo(logger: Logger): void {
    setInterval(() => {
      const dropped = this.#output.isIdle ? this.#dropped.takeUnreported() : undefined;
      if (dropped !== undefined) logger.warn({ dropped }, 'log lines were dropped');
    }, 1000).unref();
  }

  #isWithinRate(): boolean {
    const nowMs = performance.now();
    if (nowMs >= this.#secondStartMs + 1000) {
      this.#secondStartMs = nowMs;
      this.#linesInSecond = 0;
    }
    this.#linesInSecond += 1;
    return this.#linesInSecond <= maxUnauthenticatedLines;
  }
}

const withoutPathsInText = (argument: unknown): unknown =>
  typeof argument === 'string' ? withoutPaths(argument) : argument;

/** Lists the dropped fields under `left_out`, so that an unlisted field is noticed. */
function allowed(fields: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(fields);
  const leftOut = entries.filter(([name]) => !logFields.has(name)).map(([name]) => name);
  if (leftOut.length === 0) return fields;
  return { ...Object.fromEntries(entries.filter(([name]) => logFields.has(name))), left_out: leftOut };
}
