import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import { tests } from '../../support/paths.js';

export type Answer = Readonly<Record<string, string>>;

/** The system's own starts faster than a version manager's, and other users can run it. */
const python = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';

/** Another process that attaches shards. It is killed when the test ends. */
export class Holder {
  readonly child: ChildProcess;
  readonly #waiting: ((line: string) => void)[] = [];

  /** `prefix` is a program that runs it, such as `setpriv`, and the arguments of that. */
  constructor(t: Pick<Test, 'teardown'>, prefix: readonly string[] = []) {
    const [program = '', ...args] = [...prefix, python, join(tests, 'faults', 'leases', 'holder.py')];
    this.child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.child.stdout !== null) {
      createInterface(this.child.stdout).on('line', (line) => this.#waiting.shift()?.(line));
    }
    t.teardown(() => this.child.kill('SIGKILL'));
  }

  /** Runs a method of the process. Rejects with its connection errors. */
  async call(name: string, values: object = {}): Promise<unknown> {
    const line = await new Promise<string>((resolve) => {
      this.#waiting.push(resolve);
      this.child.stdin?.write(`${JSON.stringify({ do: name, ...values })}\n`);
    });
    const { result, error } = JSON.parse(line);
    if (error !== undefined) throw new Error(error);
    return result;
  }

  connect = (path: string) => this.call('connect', { path }) as Promise<Answer>;
  attach = (shardId: string) => this.call('attach', { fields: { shard_id: shardId } }) as Promise<Answer>;
  digest = (lease: string) => this.call('digest', { lease }) as Promise<string>;
  isZero = (lease: string) => this.call('is_zero', { lease }) as Promise<boolean>;
  write = (lease: string, offset: number) => this.call('write', { lease, offset });
  detach = (lease: string, keep = false) => this.call('detach', { lease, keep }) as Promise<Answer>;
  resume = (lease: string) => this.call('resume', { lease }) as Promise<Answer>;
  events = () => this.call('drain_events') as Promise<Answer[]>;
  truncate = (lease: string) => this.call('truncate', { lease }) as Promise<string>;
  limitFiles = (limited: boolean) => this.call('limit_files', { limited });
  reset = () => this.call('reset');
  fork = () => this.call('fork');
  disconnect = () => this.call('disconnect');

  /** Resolves when the process has ended. */
  async kill(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await ended;
  }
}
