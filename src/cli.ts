import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ConfigError } from './config.js';
import { exitStatus } from './exit.js';
import { serve } from './server.js';
import { exitNow } from './vram/exit.js';

const usage = `Usage: vram-worker serve [--simulate]

  serve        answers on WORKER_BIND_ADDR (127.0.0.1:8001) until SIGTERM
  --simulate   with a simulated GPU, in host memory
  --help       this text
  --version    the version

Settings come from the environment; the README lists them.
`;

/** Runs one command line. Sets `process.exitCode`; the process ends when nothing is left to do. */
export async function main(args: readonly string[]): Promise<void> {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { simulate: { type: 'boolean' }, help: { type: 'boolean' }, version: { type: 'boolean' } },
    });
    if (values.help) return void process.stdout.write(usage);
    if (values.version) return void process.stdout.write(`${version()}\n`);
    if (positionals.length !== 1 || positionals[0] !== 'serve') return fail(exitStatus.usage, usage);
    await serve({ simulate: values.simulate ?? false });
  } catch (error) {
    if (error instanceof ConfigError) return fail(exitStatus.config, `vram-worker: ${error.message}\n`);
    if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')) {
      return fail(exitStatus.usage, `vram-worker: ${error.message}\n\n${usage}`);
    }
    fail(exitStatus.unavailable, `vram-worker: ${error instanceof Error ? error.message : String(error)}\n`);
    // A call of the driver may still be under way, and never return.
    exitNow(exitStatus.unavailable);
  }
}

function fail(status: number, text: string): void {
  process.stderr.write(text);
  process.exitCode = status;
}

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : '';
}
