import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { freePort } from './free_port.js';
import { main, root } from './paths.js';
import { startProcess, temporaryDirectory } from './process.js';
import { readTrimmed, trimmedAs, trimmedLinesAs } from './trimmed.js';

/** One fenced block of shell commands, and the block that shows its output. */
export interface Example {
  readonly commands: string;
  readonly shown: { readonly language: 'json' | 'text'; readonly text: string } | undefined;
}

const fence = /```(\w+)\n(.*?)```\n/gs;

/** The examples of one section of a document, in order. An output block belongs to the command block before it. */
export function examplesOf(file: string, heading: string): Example[] {
  const document = readFileSync(join(root, file), 'utf8');
  const section = document.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? '';
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
    this.#shell = spawn('bash', [], { cwd: directory, env, stdio: ['pipe', 'pipe', 'ignore'] });
    this.#shell.stdout.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString();
      this.#waiting?.();
    });
    t.teardown(() => void this.#shell.kill('SIGKILL'));
    // The directory is not the repository, where npx finds the command.
    this.#shell.stdin.write(`npx() { shift; '${process.execPath}' '${main}' "$@"; }\n`);
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

/**
 * Runs examples as a reader would, in a directory of their own, and compares their output with the one shown. A block
 * with `npm start` starts the worker, or restarts it with the settings named there. `prepare` puts files into the directory.
 */
export function readerOf(
  t: Test,
  prepare: (directory: string) => void = () => undefined,
): (t: Test, example: Example) => Promise<void> {
  const directory = temporaryDirectory(t);
  prepare(directory);
  const terminal = new Terminal(t, directory);
  let address: string | undefined;
  let url: string | undefined;
  let stop = async (): Promise<void> => undefined;

  const start = async (t: Test, assignments: string): Promise<void> => {
    await stop();
    const env = Object.fromEntries([...assignments.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name, value]));
    address ??= `127.0.0.1:${await freePort()}`;
    const worker = await startProcess(t, directory, { ...env, WORKER_BIND_ADDR: address });
    ({ url } = worker);
    await terminal.run(`export WORKER_BIND_ADDR=${address}`);
    stop = async () => {
      worker.child.kill('SIGINT');
      t.equal(await worker.exited, 0, 'Ctrl-C ends the worker in order');
    };
  };

  return async (t, { commands, shown }) => {
    const [title = ''] = commands.split('\n');
    const started = /^(?:npm ci && )?((?:\w+=\S+ )*)npm start/m.exec(commands);
    const before = started === null ? commands : commands.slice(0, started.index);
    const output = await terminal.run(before.replaceAll('http://127.0.0.1:8001', url ?? ''));
    if (started !== null) return start(t, started[1] ?? '');
    if (shown?.language === 'text') t.equal(trimmedLinesAs(shown.text, output), shown.text, title);
    if (shown?.language !== 'json') return;
    const expected = readTrimmed(shown.text);
    t.strictSame(trimmedAs(expected, JSON.parse(output)), expected, title);
  };
}
