import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from './paths.js';

const execute = promisify(execFile);

/** What the package needs. They are linked, so that no registry is asked. */
const dependencies = ['koffi', '@koromix', 'openapi-fetch', 'openapi-typescript-helpers', '@types', 'undici-types'];

/** Packs the Node client, and unpacks it as a package of `directory`. Returns the names of its files. */
export async function installNodeClient(directory: string): Promise<string[]> {
  // Only one test file builds at a time.
  const pack = ['npm', 'pack', '--silent', '-w', 'clients/node', '--pack-destination', directory];
  const { stdout } = await execute('flock', [join(root, 'clients/node/package.json'), ...pack], { cwd: root });
  const folder = join(directory, 'node_modules', '@vram-residency', 'client');
  mkdirSync(folder, { recursive: true });
  await execute('tar', ['-xzf', join(directory, stdout.trim()), '-C', folder, '--strip-components=1']);
  for (const name of dependencies) symlinkSync(join(root, 'node_modules', name), join(directory, 'node_modules', name));
  return readdirSync(folder, { recursive: true, encoding: 'utf8' });
}
