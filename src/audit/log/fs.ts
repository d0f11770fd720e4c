import * as fs from 'node:fs';

/** The calls of the file system that the log makes, by the names of `node:fs`. A test gives others, which fail. */
export type Files = Pick<
  typeof fs,
  | 'accessSync'
  | 'closeSync'
  | 'fdatasyncSync'
  | 'fstatSync'
  | 'fsyncSync'
  | 'ftruncateSync'
  | 'openSync'
  | 'readSync'
  | 'readdirSync'
  | 'renameSync'
  | 'statSync'
  | 'statfsSync'
  | 'writeSync'
>;

export const systemFiles: Files = fs;
