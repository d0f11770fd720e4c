/**
 * `npm run gpu:bundle [-- FILE]`: writes one archive for a GPU host without network. It has Node, the sources, the build,
 * the kernels, and the packages that the worker and its tests import. Unpack it there and run gpu/prove.sh.
 */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const root = join(import.meta.dirname, '..');
const archive = resolve(process.argv[2] ?? join(root, 'cuda/build/vram-residency-gpu.tar.xz'));
const maximumBytes = 60e6;
/** Packages that the compiled tests import, in addition to the worker's own dependencies. */
const testPackages = ['tap', 'fast-check', 'jose', 'ajv', 'ajv-formats'];
/** Dependencies of tap that it needs only to build plugins or to run TypeScript. */
const notNeeded = new Set(['tshy', 'typescript', '@tapjs/run']);
const built = ['dist', 'build', 'cuda/build'];

const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** The folder of a package that `from` imports, as Node finds it, or undefined. */
function findPackage(name, from) {
  for (let folder = from; folder.startsWith(root); folder = join(folder, '..')) {
    const found = join(folder, 'node_modules', name);
    if (existsSync(join(found, 'package.json'))) return found;
  }
  return undefined;
}

/** The folders of the packages and of everything that they depend on. */
function packageFolders(names) {
  const folders = new Set();
  const add = (name, from) => {
    const folder = notNeeded.has(name) ? undefined : findPackage(name, from);
    if (folder === undefined || folders.has(folder)) return;
    folders.add(folder);
    const { dependencies, optionalDependencies, peerDependencies } = readJson(join(folder, 'package.json'));
    for (const each of Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies }))
      add(each, folder);
  };
  for (const name of names) add(name, root);
  return [...folders];
}

for (const file of ['vram_kernels.fatbin', 'vram_kernels.ptx', 'probe/kernels.ptx']) {
  if (!existsSync(join(root, 'cuda/build', file)))
    throw new Error(`cuda/build/${file} is missing: run make -C cuda gpu`);
}

const run = (command, ...args) => execFileSync(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
const staging = mkdtempSync(join(tmpdir(), 'vram-bundle-'));
const target = join(staging, 'vram-residency');
try {
  const sources = run('git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard').toString().split('\0');
  const packages = packageFolders([...Object.keys(readJson(join(root, 'package.json')).dependencies), ...testPackages]);
  for (const file of sources.filter((name) => name !== '' && existsSync(join(root, name)))) {
    cpSync(join(root, file), join(target, file));
  }
  const unwanted = /dist\/.*\.map$|\/(obj|asan|tsan|host)(\/|$)/;
  for (const folder of built) {
    cpSync(join(root, folder), join(target, folder), { recursive: true, filter: (path) => !unwanted.test(path) });
  }
  for (const folder of packages) {
    const filter = (path) =>
      !/\.(map|d\.ts|d\.mts|d\.cts)$|\/vendor$/.test(path) && !path.slice(folder.length).includes('/node_modules');
    cpSync(folder, join(target, folder.slice(root.length)), { recursive: true, filter });
  }
  mkdirSync(join(target, 'gpu/bin'), { recursive: true });
  copyFileSync(process.execPath, join(target, 'gpu/bin/node'));
  writeFileSync(join(target, 'gpu/commit'), run('git', 'describe', '--always', '--dirty', '--abbrev=40'));
  run('strip', join(target, 'gpu/bin/node'));
  execFileSync('tar', ['-C', staging, '-cf', archive, `--use-compress-program=xz -T0 -1`, 'vram-residency']);
  const { size } = statSync(archive);
  console.log(`${archive}: ${(size / 1e6).toFixed(1)} MB, ${packages.length} packages`);
  if (size > maximumBytes) throw new Error(`the archive exceeds ${maximumBytes / 1e6} MB`);
} finally {
  rmSync(staging, { recursive: true, force: true });
}
