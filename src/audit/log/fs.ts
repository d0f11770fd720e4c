import * as fs from 'node:fs';

/** The file system calls of the log, as in `node:fs`. Tests substitute calls that fail. */
export type FileSystem = Pick<
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

export const nodeFileSystem: FileSystem = fs;
