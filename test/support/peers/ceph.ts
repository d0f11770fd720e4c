import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { freePort } from '../free_port.js';
import type { SigningKeys } from '../sigv4.js';
import { temporaryDirectory } from '../temporary_directory.js';
import { unpackPackages } from './debian_packages.js';
import { startProgram } from './program.js';

const run = promisify(execFile);

/** The gateway of a Ceph cluster of one monitor and one store in memory. */
export interface Ceph {
  readonly port: number;
  readonly keys: SigningKeys;
}

/** The host of the gateway; buckets are hosts below it. */
export const cephHost = 's3.test';

/**
 * Starts a Ceph cluster with an S3 gateway and one user, as the current user, until the test ends. Undefined if its
 * packages cannot be downloaded. Takes about 15 s. Objects that are replaced are deleted seconds later.
 */
export async function startCeph(t: Pick<Test, 'teardown'>, storeBytes = 2 * 2 ** 30): Promise<Ceph | undefined> {
  const root = await unpackPackages('ceph', ['radosgw', 'ceph-mon', 'ceph-osd']);
  if (root === undefined) return undefined;
  const cluster = new Cluster(t, root, { monitor: await freePort(), gateway: await freePort(), storeBytes });
  await cluster.startMonitor();
  await cluster.startStore();
  await cluster.startGateway();
  return { port: cluster.settings.gateway, keys: await cluster.createUser() };
}

interface ClusterSettings {
  /** Ports. */
  readonly monitor: number;
  readonly gateway: number;
  /** The memory that all objects may take. */
  readonly storeBytes: number;
}

class Cluster {
  readonly settings: ClusterSettings;
  readonly #t: Pick<Test, 'teardown'>;
  readonly #directory: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #id = randomUUID();
  readonly #file: string;

  constructor(t: Pick<Test, 'teardown'>, root: string, settings: ClusterSettings) {
    this.#t = t;
    this.settings = settings;
    this.#directory = temporaryDirectory(t);
    this.#file = join(this.#directory, 'ceph.conf');
    this.#env = environmentOf(root, join(this.#directory, 'plugins'));
    for (const folder of ['mon', 'osd', 'rgw', 'plugins']) mkdirSync(join(this.#directory, folder));
    linkPlugins(join(root, 'usr/lib/x86_64-linux-gnu'), join(this.#directory, 'plugins'));
    writeFileSync(this.#file, configuration(this.#id, this.#directory, settings));
  }

  async startMonitor(): Promise<void> {
    const map = join(this.#directory, 'monmap');
    const address = `[v2:127.0.0.1:${this.settings.monitor}]`;
    await this.#run('monmaptool', '--create', '--fsid', this.#id, '--addv', 'a', address, map);
    await this.#run('ceph-mon', '-i', 'a', '--mkfs', '--monmap', map);
    await this.#start('ceph-mon', ['-i', 'a', '-f'], async () => {
      await this.#ceph('-s');
      return true;
    });
  }

  async startStore(): Promise<void> {
    const id = randomUUID();
    await this.#ceph('osd', 'new', id);
    await this.#run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', id);
    await this.#start('ceph-osd', ['-i', '0', '-f'], async () => (await this.#ceph('osd', 'stat')).includes('1 up'));
    await this.#ceph('osd', 'crush', 'add', 'osd.0', '1.0', 'root=default', 'host=here');
  }

  async startGateway(): Promise<void> {
    const url = `http://127.0.0.1:${this.settings.gateway}/`;
    await this.#start('radosgw', ['-n', 'client.rgw', '-f'], async () => (await fetch(url)).ok);
  }

  async createUser(): Promise<SigningKeys> {
    const keys = { accessKeyId: 'AKIALAB', secret: 'secret+of/lab', region: 'us-east-1', service: 's3' };
    const names = ['--uid=lab', '--display-name=lab', `--access-key=${keys.accessKeyId}`, `--secret=${keys.secret}`];
    await this.#run('radosgw-admin', '-n', 'client.admin.user', 'user', 'create', ...names);
    return keys;
  }

  #ceph(...args: readonly string[]): Promise<string> {
    return this.#run('ceph', '--connect-timeout', '5', ...args);
  }

  async #run(program: string, ...args: readonly string[]): Promise<string> {
    const options = { env: this.#env, timeout: 30_000 };
    return (await run(program, ['-c', this.#file, ...args], options)).stdout;
  }

  #start(program: string, args: readonly string[], isReady: () => Promise<boolean>): Promise<void> {
    return startProgram(this.#t, [program, '-c', this.#file, ...args], { env: this.#env, isReady });
  }
}

function environmentOf(root: string, plugins: string): NodeJS.ProcessEnv {
  const lib = join(root, 'usr/lib/x86_64-linux-gnu');
  return {
    ...process.env,
    PATH: `${join(root, 'usr/bin')}:${join(root, 'usr/sbin')}:${process.env.PATH}`,
    LD_LIBRARY_PATH: [lib, join(lib, 'ceph'), join(root, 'lib/x86_64-linux-gnu')].join(':'),
    PYTHONPATH: join(root, 'usr/lib/python3/dist-packages'),
    // The one folder of all plugins: it replaces three settings, which name folders of an installation.
    CEPH_LIB: plugins,
  };
}

function linkPlugins(lib: string, plugins: string): void {
  for (const folder of ['ceph', 'rados-classes', 'ceph/erasure-code'].map((name) => join(lib, name))) {
    for (const name of readdirSync(folder)) symlinkSync(join(folder, name), join(plugins, name));
  }
}

/** `crc` on the monitor is needed without authentication. */
const configuration = (id: string, directory: string, { monitor, gateway, storeBytes }: ClusterSettings): string => `
[global]
fsid = ${id}
mon host = v2:127.0.0.1:${monitor}
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms mon cluster mode = crc
ms mon service mode = crc
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
osd objectstore = memstore
memstore device bytes = ${storeBytes}
run dir = ${directory}
log file = /dev/null
admin socket =
pid file = ${directory}/$name.pid
mon data = ${directory}/mon
osd data = ${directory}/osd
keyring = /dev/null
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:${gateway}
rgw data = ${directory}/rgw
rgw dns name = ${cephHost}
rgw run sync thread = false
rgw gc obj min wait = 1
rgw gc processor period = 1
`;
