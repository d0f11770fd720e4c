import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import { tests } from '../support/paths.js';

export interface EngineStatus {
  readonly state?: string;
  readonly allocationId?: string;
  readonly handle?: string;
  readonly events: readonly string[];
  /** Memory that is neither a file's nor shared, in bytes. */
  readonly ownMemory: number;
  /** How many bytes of its address space are exportable memory of the simulator. */
  readonly mappedMemfd: number;
}

const prompt = 'Hello world, this is';
const tokens = 24;

/** An engine in a process of its own, until the test ends. */
export class EngineProcess {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  #errors = '';

  constructor(t: Test) {
    // tap adds hooks to NODE_OPTIONS. The simulator of the engine has the devices of the worker's.
    const env = { ...process.env, NODE_OPTIONS: '', CUDA_SIM_DEVICES: '512MiB,512MiB' };
    this.#child = spawn(process.execPath, [join(tests, 'engine', 'generated', 'engine.js')], { env, stdio: 'pipe' });
    t.teardown(() => this.kill());
    const { stdout, stderr } = this.#child;
    if (stdout === null || stderr === null) throw new Error('the engine has no output');
    stderr.on('data', (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
    this.#answers = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  /** Loads a model. Returns the growth of the engine's own memory by the model and its first tokens, and the tokens. */
  async load(
    request: { path: string } | { attach: object },
    mmap: boolean,
  ): Promise<{ grown: number; tokens: number[] }> {
    const { before } = await this.#ask<{ before: number }>({ type: 'load', mmap, ...request });
    const generated = await this.generate();
    return { grown: (await this.status()).ownMemory - before, tokens: generated };
  }

  /** Greedy tokens after the same prompt. */
  async generate(): Promise<number[]> {
    return (await this.#ask<{ tokens: number[] }>({ type: 'generate', prompt, tokens })).tokens;
  }

  status(): Promise<EngineStatus> {
    return this.#ask({ type: 'status' });
  }

  /** Sends SIGKILL. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Asks for one line of JSON. @throws Error if the engine fails or ends */
  async #ask<T>(request: object): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    const { done, value } = await this.#answers.next();
    if (done) throw new Error(`the engine ended: ${this.#errors}`);
    const answer = JSON.parse(value);
    if ('error' in answer) throw new Error(answer.error);
    return answer;
  }
}
