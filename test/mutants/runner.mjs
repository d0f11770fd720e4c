import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { compileMutant } from './mutate.mjs';
import { readSource, root } from './selection.mjs';
import { targets } from './targets.mjs';

const workDirectory = join(root, '.mutants');

/** A test may hang because of a mutant. CPU time ends a busy loop sooner, and spares a process that was stopped. */
const timeoutMs = 300_000;
const cpuLimitSeconds = 60;
/** Longer than any of the tests takes on a busy machine. */
const testTimeoutSeconds = 90;

const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
const { options } = ts.parseJsonConfigFileContent({ ...config, files: [] }, ts.sys, root);
const scriptOf = (file) => file.replace(/\.ts$/, '.js');

/**
 * Compiles sources and tests once, and makes a copy for each parallel job. Other files are symbolic links.
 * @param {number} jobs @returns {string[]} the directories, one per job
 */
export function prepare(jobs) {
  rmSync(workDirectory, { recursive: true, force: true });
  const directories = Array.from({ length: jobs }, (_, job) => join(workDirectory, String(job)));
  const [first, ...others] = directories;
  const compile = ['--noEmit', 'false', '--sourceMap', 'false', '--outDir', first];
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...compile], {
    cwd: root,
    stdio: 'inherit',
  });
  for (const directory of others) cpSync(first, directory, { recursive: true });
  for (const directory of directories) {
    for (const name of ['cuda', 'dist', 'openapi', 'test/vectors', 'ui', 'package.json']) {
      const link = join(directory, name);
      if (!existsSync(link)) symlinkSync(join(root, name), link);
    }
  }
  return directories;
}

export const cleanUp = () => rmSync(workDirectory, { recursive: true, force: true });

/** The first test that fails with the mutant, or undefined if it survives. */
export async function findKiller(directory, { file, ...mutant }) {
  const script = join(directory, scriptOf(file));
  const original = readFileSync(script);
  writeFileSync(script, compileMutant(readSource(file), mutant, options));
  try {
    for (const test of targets[file]) if (await fails(directory, test)) return test;
    return undefined;
  } finally {
    writeFileSync(script, original);
  }
}

/** Whether a test fails or exceeds a limit. */
export function fails(directory, test) {
  return new Promise((resolve) => {
    const env = { ...process.env, TAP_BAIL: '1', TAP_TIMEOUT: String(testTimeoutSeconds) };
    const command = `ulimit -t ${cpuLimitSeconds}; exec "$0" "$1"`;
    const args = ['-c', command, process.execPath, join(directory, scriptOf(test))];
    const child = spawn('sh', args, { cwd: directory, env, stdio: 'ignore' });
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.once('exit', (status) => {
      clearTimeout(timer);
      resolve(status !== 0);
    });
  });
}
