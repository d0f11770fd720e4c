import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const timeout = 300_000;

/**
 * Downloads Debian packages with what they need and this host lacks, and unpacks them into a folder that is kept outside
 * the repository. Installs nothing and needs no root. Undefined where apt cannot download them.
 */
export async function unpackPackages(name: string, packages: readonly string[]): Promise<string | undefined> {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'vram-residency', 'peers');
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;
  const partial = join(cache, `${name}.${process.pid}`);
  try {
    mkdirSync(join(partial, 'root'), { recursive: true });
    await run('apt-get', ['download', ...(await missingOf(packages))], { cwd: partial, timeout });
    const archives = readdirSync(partial).filter((file) => file.endsWith('.deb'));
    for (const archive of archives) await run('dpkg', ['-x', join(partial, archive), join(partial, 'root')]);
    renameSync(join(partial, 'root'), folder);
    return folder;
  } catch (error) {
    console.error(`# ${name} cannot be downloaded: ${error instanceof Error ? error.message.split('\n')[0] : ''}`);
    return undefined;
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

async function missingOf(packages: readonly string[]): Promise<string[]> {
  const { stdout } = await run('apt-get', ['install', '-s', '--no-install-recommends', ...packages], { timeout });
  return [...stdout.matchAll(/^Inst (\S+)/gm)].map(([, name = '']) => name);
}
