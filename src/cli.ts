import { readFileSync } from 'node:fs';
import { type Command, InputError, UsageError } from './commands/command.js';
import { ConfigError } from './config/config_error.js';
import { exitStatus } from './process/exit_status.js';

/** Each command by its words, loaded only when it is asked for. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./commands/serve.js')).serveCommand,
  health: async () => (await import('./commands/health.js')).health,
  'handle verify': async () => (await import('./commands/handle_verify.js')).handleVerify,
  'audit verify': async () => (await import('./commands/audit_verify.js')).auditVerify,
};

const usage = `Usage: vram-worker serve [--simulate]
       vram-worker health
       vram-worker handle verify HANDLE --secret-file FILE --worker-id ID
       vram-worker handle verify HANDLE --jwks FILE [--worker-id ID]
       vram-worker audit verify FILE... [--checkpoint FILE] [--key-file FILE] [--jwks FILE]

  serve          answers on WORKER_BIND_ADDR (127.0.0.1:8001) until SIGTERM
  --simulate     with a simulated GPU, in host memory

  health         asks the worker that has the same settings whether it answers: exit status 0 it does, 1 it does not

  handle verify  checks a handle (- reads it from standard input) without asking its worker: exit status 0 authentic,
                 1 not. Whether it is current only the worker can say
  --secret-file  the secret that the worker signs from
  --jwks         its public keys, as /.well-known/jwks.json gives them
  --worker-id    the worker's WORKER_ID

  audit verify   checks an audit log: exit status 0 whole, 1 tampered, 3 with a torn last line
  --checkpoint   a file of checkpoints that were kept elsewhere, to hold the log against
  --key-file     what the worker signs with: the seal secret's file, or an Ed25519 key, private or public. The
                 checkpoints' signatures are checked too
  --jwks         its public keys, for the same

  --help         this text
  --version      the version

Settings come from the environment; the README lists them.
`;

/** Runs one command line. Sets `process.exitCode`; the process ends when nothing is left to do. */
export async function main(args: readonly string[]): Promise<void> {
  if (args.includes('--help')) return void process.stdout.write(usage);
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
    // A call of the driver may still be under way, and never return.
    (await import('./vram/exit.js')).exitNow(exitStatus.unavailable);
  }
}

const isParseError = (error: unknown): boolean =>
  error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');

function fail(status: number, text: string): void {
  process.stderr.write(text);
  process.exitCode = status;
}

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : '';
}
