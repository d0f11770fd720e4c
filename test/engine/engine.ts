/**
 * An engine: llama.cpp on the CPU. It loads a model from a file or from an attached shard, and generates tokens.
 *
 * Reads one JSON request a line, and answers each with one JSON line. A lease that is not closed ends with the process.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import {
  type AttachEventType,
  type AttachRequest,
  attach,
  type ConnectOptions,
  type Lease,
} from '@vram-residency/client';
import { getLlama, type LlamaContextSequence, LlamaLogLevel, type Token } from 'node-llama-cpp';

type Request =
  | {
      readonly type: 'load';
      readonly path?: string;
      readonly attach?: ConnectOptions & AttachRequest;
      readonly mmap: boolean;
    }
  | { readonly type: 'generate'; readonly prompt: string; readonly tokens: number }
  | { readonly type: 'status' };

const llama = await getLlama({
  gpu: false,
  build: 'never',
  skipDownload: true,
  progressLogs: false,
  logLevel: LlamaLogLevel.error,
  maxThreads: 2,
});
let lease: Lease | undefined;
const events: AttachEventType[] = [];
let sequence: LlamaContextSequence | undefined;

/** Memory of this process that is neither a file's nor shared, in bytes: RssAnon of proc(5). */
function ownMemory(): number {
  const [, kib = ''] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kib) * 1024;
}

/** Where the address space has the model: the mappings of a path, in bytes. */
function mappedBytes(name: string): number {
  const lines = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return lines.filter((line) => line.includes(name)).reduce((sum, line) => sum + lengthOf(line), 0);
}

function lengthOf(line: string): number {
  const [start = '', end = ''] = line.split(' ', 1)[0]?.split('-') ?? [];
  return Number.parseInt(end, 16) - Number.parseInt(start, 16);
}

async function collectEvents(of: Lease): Promise<void> {
  for await (const { type } of of.events()) events.push(type);
}

async function load({ path, attach: request, mmap }: Extract<Request, { type: 'load' }>) {
  if (request !== undefined) {
    lease = await attach(request);
    void collectEvents(lease);
  }
  const before = ownMemory();
  const modelPath = path ?? lease?.path() ?? '';
  const model = await llama.loadModel({ modelPath, useMmap: mmap, lazyMode: false, gpuLayers: 0 });
  const context = await model.createContext({ contextSize: 256, batchSize: 64 });
  sequence = context.getSequence();
  return { before, useMmap: model.useMmap };
}

async function generate({ prompt, tokens }: Extract<Request, { type: 'generate' }>) {
  if (sequence === undefined) throw new Error('no model is loaded');
  await sequence.clearHistory();
  const generated: Token[] = [];
  for await (const token of sequence.evaluate(sequence.model.tokenize(prompt), {
    temperature: 0,
    yieldEogToken: true,
  })) {
    generated.push(token);
    if (generated.length === tokens) break;
  }
  return { tokens: generated };
}

function status() {
  const { state, allocationId, handle } = lease ?? {};
  return { state, allocationId, handle, events, ownMemory: ownMemory(), mappedMemfd: mappedBytes('/memfd:cuda_sim') };
}

function answer(request: Request): unknown {
  if (request.type === 'load') return load(request);
  if (request.type === 'generate') return generate(request);
  return status();
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify(await answer(JSON.parse(line))));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}
process.exit();
