import { readFileSync } from 'node:fs';
import { type Command, InputError, UsageError } from './commands/command.js';
import { usage } from './commands/help.js';
import { ConfigError } from './config/config_error.js';
import { exitStatus } from './process/exit_status.js';

/** The commands by name. Each is loaded only if it runs. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./commands/serve.js')).serveCommand,
  health: async () => (await import('./commands/health.js')).health,
  'handle verify': async () => (await import('./commands/handle_verify.js')).handleVerify,
  'audit verify': async () => (await import('./commands/audit_verify.js')).auditVerify,
};

/** Runs one command line. Sets `process.exitCode`; the process ends when no work is left. */
export async function main(args: readonly string[]): Promise<void> {
  if (args.includes('--help')) return void process.stdout.write(await help());
  if (args.includes('--version')) return void process.stdout.write(`${version()}\n`);
  for (const [name, load] of Object.entries(commands)) {
    const words = name.split(' ');
    if (words.every((word, index) => args[index] === word)) return run(load, args.slice(words.length));
  }
  fail(exitStatus.usage, usage);
}

async function run(load: () => Promise<Command>, args: readonly string[]): Promise<void> {
  try {
    const command = await load();
    process.exitCode = await command(args);
  } catch (error) {
    const message = `vram-worker: ${error instanceof Error ? error.message : String(error)}\n`;
    if (error instanceof ConfigError) return fail(exitStatus.config, message);
    if (error instanceof InputError) return fail(exitStatus.noInput, message);
    if (error instanceof UsageError || isParseError(error)) return fail(exitStatus.usage, `${message}\n${usage}`);
    fail(exitStatus.unavailable, message);
    // A call of the driver may hang, and would keep the process alive.
    (await import('./vram/exit.js')).exitNow(exitStatus.unavailable);
  }
}

const isParseError = (error: unknown): boolean =>
  error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');

function fail(status: number, text: string): void {
  process.stderr.write(text);
  process.exitCode = status;
}

async function help(): Promise<string> {
  const { settingsHelp } = await import('./config/document.js');
  return `${usage}\n${settingsHelp()}`;
}

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : '';
}
