import { type DestinationStream, type Logger, pino } from 'pino';
import { logFields, logSerializers } from './http/plugins/logging.js';

/** The process's logger. A field that `logFields` does not name is left out, whoever logs it. */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    serializers: logSerializers,
    formatters: { log: allowed },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

const allowed = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => logFields.has(name)));
