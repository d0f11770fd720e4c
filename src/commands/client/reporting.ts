import { JsonReporter } from '../terminal/json_reporter.js';
import { PlainReporter } from '../terminal/plain_reporter.js';
import type { Reporter } from '../terminal/reporter.js';
import { TerminalReporter } from '../terminal/terminal_reporter.js';
import { ignoreClosedStderr } from './output.js';

/** Progress goes to stderr, so that stdout has only the result; with `--json`, stdout has both. */
export function reporterFor(isJson: boolean, environment: NodeJS.ProcessEnv): Reporter {
  if (isJson) return new JsonReporter((text) => void process.stdout.write(text));
  ignoreClosedStderr();
  const isTerminal = process.stderr.isTTY && environment.TERM !== 'dumb';
  return isTerminal
    ? new TerminalReporter(process.stderr)
    : new PlainReporter((text) => void process.stderr.write(text));
}
