import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { root } from '../support/paths.js';
import { startProcess, temporaryDirectory } from '../support/process.js';

/** One fenced block of shell commands, and the block that shows its output. */
interface Example {
  readonly commands: string;
  readonly shown: { readonly language: 'json' | 'text'; readonly text: string } | undefined;
}

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const fence = /```(\w+)\n(.*?)```\n/gs;

/** The examples of one section, in order. An output block belongs to the command block before it. */
function examplesOf(heading: string): Example[] {
  const section = readme.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? '';
  const examples: Example[] = [];
  for (const [, language, text = ''] of section.matchAll(fence)) {
    const last = examples.at(-1);
    if (language === 'sh') examples.push({ commands: text, shown: undefined });
    else if ((language === 'json' || language === 'text') && last !== undefined) {
      examples[examples.length - 1] = { ...last, shown: { language, text } };
    }
  }
  return examples;
}

/** A shell that keeps its variables and functions from one block to the next, as a reader's terminal does. */
class Terminal {
  readonly #shell;
  #output = '';
  #waiting: (() => void) | undefined;

  constructor(t: Test, directory: string) {
    const env = { PATH: process.env.PATH, LC_ALL: 'C.UTF-8' };
    this.#shell = spawn('bash', [], { cwd: directory, env, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#shell.stdout.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString();
      this.#waiting?.();
    });
    t.teardown(() => void this.#shell.kill('SIGKILL'));
  }

  /** Runs commands. Resolves with what they wrote to standard output. */
  async run(commands: string): Promise<string> {
    const end = '\0end\0';
    this.#shell.stdin.write(`${commands}\nprintf '\\0end\\0'\n`);
    while (!this.#output.includes(end)) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
    const [output = '', rest = ''] = this.#output.split(end);
    this.#output = rest;
    return output;
  }
}

/** Runs examples in a directory of their own. A block with `npm start` starts, or restarts, the worker. */
function readerOf(t: Test) {
  const directory = temporaryDirectory(t);
  const terminal = new Terminal(t, directory);
  let url: string | undefined;
  let stop = async (): Promise<void> => undefined;

  const start = async (t: Test, assignments: string): Promise<void> => {
    await stop();
    const env = Object.fromEntries([...assignments.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name, value]));
    const port = url === undefined ? {} : { WORKER_BIND_ADDR: new URL(url).host };
    const worker = await startProcess(t, directory, { ...env, ...port });
    ({ url } = worker);
    stop = async () => {
      worker.child.kill('SIGINT');
      t.equal(await worker.exited, 0, 'Ctrl-C ends the worker in order');
    };
  };

  return async (t: Test, { commands, shown }: Example): Promise<void> => {
    const started = /^(?:npm ci && )?((?:\w+=\S+ )*)npm start/m.exec(commands);
    if (started !== null) return start(t, started[1] ?? '');
    const [title = ''] = commands.split('\n');
    const output = await terminal.run(commands.replaceAll('http://127.0.0.1:8001', url ?? ''));
    if (shown?.language === 'text') t.equal(output, shown.text, title);
    if (shown?.language !== 'json') return;
    const expected = readTrimmed(shown.text);
    t.strictSame(trimmedAs(expected, JSON.parse(output)), expected, title);
  };
}

const ellipsis = '…';

/** Reads trimmed JSON. `…` at the end of a string, a list or an object leaves the rest open. */
const readTrimmed = (text: string): unknown =>
  JSON.parse(text.replaceAll(/…(?=\s*\})/g, `"${ellipsis}": 0`).replaceAll(/…(?=\s*\])/g, `"${ellipsis}"`));

/** A value trimmed where trimmed JSON is. It equals that JSON if every member shown is right, and none is added. */
function trimmedAs(shown: unknown, value: unknown): unknown {
  if (typeof shown === 'string' && shown.endsWith(ellipsis)) {
    return typeof value === 'string' && value.startsWith(shown.slice(0, -1)) ? shown : value;
  }
  if (Array.isArray(shown) && Array.isArray(value)) {
    const isOpen = shown.at(-1) === ellipsis;
    const items = isOpen ? value.slice(0, shown.length - 1) : value;
    return [...items.map((item, index) => trimmedAs(shown[index], item)), ...(isOpen ? [ellipsis] : [])];
  }
  if (!isRecord(shown) || !isRecord(value)) return value;
  const isOpen = ellipsis in shown;
  const members = Object.entries(value).filter(([name]) => !isOpen || name in shown);
  const trimmed = members.map(([name, member]) => [name, trimmedAs(shown[name], member)]);
  return Object.fromEntries([...trimmed, ...(isOpen ? [[ellipsis, shown[ellipsis]]] : [])]);
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Which of these programs is not installed. */
const missing = (...programs: readonly string[]): string | undefined =>
  programs.find((program) => {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`]);
      return false;
    } catch {
      return true;
    }
  });

t.test('the README commands print what it shows', async (t) => {
  const read = readerOf(t);
  for (const section of ['Quick start', 'See it catch corruption']) {
    const examples = examplesOf(section);
    t.ok(
      examples.some(({ shown }) => shown !== undefined),
      `${section} shows output`,
    );
    for (const example of examples) await read(t, example);
  }

  const program = missing('fsverity', 'openssl', 'basenc');
  const skip = program === undefined ? {} : { skip: `${program} is not installed` };
  await t.test('a reader verifies the handle with other tools', skip, async (t) => {
    const examples = examplesOf('Verify a handle without trusting the worker');
    t.ok(examples.length > 0);
    for (const example of examples) await read(t, example);
  });
});

t.test('npm start is the command that these tests run', async (t) => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  t.equal(scripts.start, 'exec node dist/main.cjs serve --simulate');
});

t.test('an answer that differs from the one shown is found', async (t) => {
  const equal = [
    ['{ "a": 1 }', { a: 1 }],
    ['{ "a": 1, … }', { a: 1, b: 2 }],
    ['{ "a": "x…" }', { a: 'xyz' }],
    ['{ "a": [{ "b": 1, … }] }', { a: [{ b: 1, c: 2 }] }],
    ['{ "a": [1, …] }', { a: [1, 2] }],
  ] as const;
  const different = [
    ['{ "a": 1 }', { a: 2 }],
    ['{ "a": 1 }', { a: 1, b: 2 }],
    ['{ "a": 1, … }', { b: 2 }],
    ['{ "a": "x…" }', { a: 'yz' }],
    ['{ "a": [{ "b": 1 }] }', { a: [] }],
    ['{ "a": [] }', { a: [1] }],
    ['{ "a": [1, …] }', { a: [] }],
    ['{ "a": [] }', { a: {} }],
  ] as const;
  for (const [text, value] of equal) t.strictSame(trimmedAs(readTrimmed(text), value), readTrimmed(text), text);
  for (const [text, value] of different) t.strictNotSame(trimmedAs(readTrimmed(text), value), readTrimmed(text), text);
});
