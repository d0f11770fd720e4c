import { flag, parseArguments, string, strings } from '../arguments.js';
import { type ConnectionValues, connectionOptions } from '../client/connection.js';
import { gpuOption, integerOption, prefixFrom, prefixOption } from '../client/numbers.js';
import { UsageError } from '../command.js';

export interface PushOptions {
  readonly paths: readonly string[];
  readonly modelRef: string | undefined;
  readonly shardPrefix: string | undefined;
  readonly gpus: readonly number[] | undefined;
  readonly computesDigest: boolean;
  readonly retrySeconds: number;
  readonly isJson: boolean;
  readonly connection: ConnectionValues;
}

const defaultRetrySeconds = 60;

/** @throws UsageError */
export function pushOptions(args: readonly string[]): PushOptions {
  const { values, positionals } = parseArguments(args, {
    ...connectionOptions,
    'model-ref': string,
    'shard-prefix': string,
    gpu: strings,
    'no-digest': flag,
    'retry-seconds': string,
    json: flag,
  });
  if (positionals.length === 0) throw new UsageError('push needs at least one file');
  if (positionals.length > 1024) throw new UsageError('push takes at most 1024 files');
  const retrySeconds = integerOption('retry-seconds', values['retry-seconds'], { minimum: 0, maximum: 86_400 });
  return {
    paths: positionals,
    modelRef: values['model-ref'],
    shardPrefix: prefixOption(values['shard-prefix']),
    gpus: gpuOption(values.gpu),
    computesDigest: !values['no-digest'],
    retrySeconds: retrySeconds ?? defaultRetrySeconds,
    isJson: values.json,
    connection: values,
  };
}

/** The name of the model of a file: without its extension, and without the number of a part. */
export const modelNameOf = (fileName: string): string =>
  fileName.replace(/\.(gguf|safetensors|bin)$/i, '').replace(/-[0-9]{5}-of-[0-9]{5}$/, '') || fileName;

/** The names on the worker: the model, and the prefix of shard ids. */
export function namesFor(firstFile: string, { modelRef, shardPrefix }: PushOptions) {
  const name = modelNameOf(firstFile);
  return { modelRef: modelRef ?? name, prefix: shardPrefix ?? prefixFrom(modelRef ?? name) };
}
