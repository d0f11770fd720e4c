import { ProblemError } from './client/client_error.js';
import { connect, connectionArguments } from './client/connection.js';
import { printJson, printLine, printNote } from './client/output.js';
import { reporterFor } from './client/reporting.js';
import type { RetryOptions } from './client/retrying.js';
import { clientStatus } from './client/status.js';
import type { WorkerClient } from './client/worker_client.js';
import type { DocumentedCommand } from './command.js';
import { pullHelp } from './pull/help.js';
import { type PullOptions, pullOptions } from './pull/options.js';
import { hasEnded, PullClient } from './pull/pull_client.js';
import { PullRun } from './pull/pull_run.js';
import { type StartedPull, startPull } from './pull/start.js';

/** `vram-worker pull`: begins a pull, or finds it, and follows it to its end. */
async function run(args: readonly string[]): Promise<number> {
  const options = pullOptions(args);
  const client = await connect(options.connection, process.env);
  const reporter = reporterFor(options.isJson, process.env);
  const abort = new AbortController();
  const retry: RetryOptions = {
    retrySeconds: options.retrySeconds,
    signal: abort.signal,
    onRetry: (error) => reporter.note(`retrying: ${error.message}`),
  };
  const start = () => startOrFind(client, options, retry);
  try {
    if (options.detach) return await detached(start, options);
    return await new PullRun({
      reporter,
      isJson: options.isJson,
      abort,
      kind: options.action.kind,
      commandFor: (option, pullId) => commandFor(option, pullId, options),
    }).run(start);
  } catch (error) {
    if (options.isJson && error instanceof ProblemError) printJson({ event: 'error', problem: error.problem });
    throw error;
  }
}

async function startOrFind(client: WorkerClient, options: PullOptions, retry: RetryOptions): Promise<StartedPull> {
  const { action } = options;
  const requestsFor = (pullId: string) => new PullClient(client, pullId, retry);
  if (action.kind === 'start') return startPull(client, action, options, requestsFor);
  const requests = requestsFor(action.pullId);
  const pull = await requests.get();
  if (action.kind === 'cancel' && !hasEnded(pull)) await requests.cancel();
  return { pull, requests };
}

/** Prints the id of the pull, alone on stdout for scripts. */
async function detached(start: () => Promise<StartedPull>, options: PullOptions): Promise<number> {
  const { pull } = await start();
  if (options.isJson) printJson({ event: 'pull', pull });
  else {
    printLine(pull.pull_id);
    printNote(`the pull continues in the worker. Watch it: ${commandFor('--watch', pull.pull_id, options)}`);
  }
  return clientStatus.done;
}

function commandFor(option: string, pullId: string, { connection }: PullOptions): string {
  return `vram-worker pull ${option} ${pullId}${connectionArguments(connection)}`;
}

export const pull: DocumentedCommand = { run, help: pullHelp };
