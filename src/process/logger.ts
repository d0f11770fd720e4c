import { type DestinationStream, type Logger, pino } from 'pino';
import { logFields, logSerializers } from '../http/plugins/logging.js';

/** The logger of the process. It drops every field that `logFields` does not list. */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    serializers: logSerializers,
    formatters: { log: allowed },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/** Lists the dropped fields under `left_out`, so that an unlisted field is noticed. */
function allowed(fields: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(fields);
  const leftOut = entries.filter(([name]) => !logFields.has(name)).map(([name]) => name);
  if (leftOut.length === 0) return fields;
  return { ...Object.fromEntries(entries.filter(([name]) => logFields.has(name))), left_out: leftOut };
}
