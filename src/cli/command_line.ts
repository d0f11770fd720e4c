import { type Command, type DocumentedCommand, InputError, UsageError } from '../commands/command.js';
import { usage } from '../commands/help.js';
import { ConfigError, FileCreationError } from '../config/config_error.js';
import { packageVersion } from '../config/version.js';
import { messageOf } from '../errors.js';
import { ExitError, exitStatus } from '../process/exit_status.js';
import { standardError } from '../process/output.js';
import { FileTimeoutError } from '../storage/file_calls.js';

/** How long a failed command waits for its last message. */
const flushMs = 1000;

/** Commands by name. Each is loaded only if it runs. */
export type Commands = Readonly<Record<string, () => Promise<Command | DocumentedCommand>>>;

/** Runs one command line. Sets `process.exitCode`; the process ends when no work is left. */
export async function runCommandLine(commands: Commands, args: readonly string[]): Promise<void> {
  // The output of a command is its result. The worker's own output may be lost.
  if (args[0] !== 'serve') process.stdout.on('error', () => process.exit(exitStatus.ioError));
  if (args.includes('--version')) return void process.stdout.write(`${packageVersion()}\n`);
  for (const [name, load] of Object.entries(commands)) {
    const words = name.split(' ');
    if (words.every((word, index) => args[index] === word)) return run(load, args.slice(words.length));
  }
  if (args.includes('--help')) return void process.stdout.write(await help());
  const [first] = args;
  const kind = first?.startsWith('-') === true ? 'option' : 'command';
  const problem = first === undefined ? 'the command is missing' : `unknown ${kind} ${first}`;
  await fail(exitStatus.usage, `vram-worker: ${problem}\n\n${usageOf()}`);
}

async function run(load: () => Promise<Command | DocumentedCommand>, args: readonly string[]): Promise<void> {
  let ownHelp: string | undefined;
  try {
    const loaded = await load();
    if (typeof loaded === 'object') ownHelp = loaded.help;
    if (args.includes('--help')) return void process.stdout.write(ownHelp ?? (await help()));
    const command = typeof loaded === 'function' ? loaded : loaded.run;
    process.exitCode = await command(args);
  } catch (error) {
    const message = `vram-worker: ${textOf(error)}\n`;
    const status = statusOf(error);
    await fail(status, status === exitStatus.usage ? `${message}\n${usageOf(ownHelp)}` : message);
  }
}

/** Begins in lower case, except for names such as WORKER_ID. */
function textOf(error: unknown): string {
  const text = messageOf(error);
  return /^[A-Z][a-z]* /.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}

/** The first paragraph of a command's own help, or of the program's. */
const usageOf = (help = usage): string => `${help.split('\n\n')[0]}\nMore: --help\n`;

function statusOf(error: unknown): number {
  if (error instanceof ExitError) return error.status;
  if (error instanceof ConfigError) return exitStatus.config;
  if (error instanceof FileCreationError) return exitStatus.cannotCreate;
  if (error instanceof FileTimeoutError) return exitStatus.ioError;
  if (error instanceof InputError) return exitStatus.noInput;
  if (error instanceof UsageError) return exitStatus.usage;
  return exitStatus.lost;
}

/** Ends the process, even if a call of the driver or the write of the text hangs. */
async function fail(status: number, text: string): Promise<never> {
  standardError.put(text, 'error');
  await standardError.flush(flushMs);
  return (await import('../vram/exit.js')).exitNow(status);
}

async function help(): Promise<string> {
  const { settingsHelp } = await import('../config/settings_help.js');
  return `${usage}\n${settingsHelp()}`;
}
