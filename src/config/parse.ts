import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

/** The type of a setting: its description for errors and documents, and its parser. */
export interface SettingType<T> {
  /** Completes "`NAME` must be …". */
  readonly description: string;
  readonly unit?: string;
  /** The value is a path. `loadConfig` checks what it names, because a file system can hang. */
  readonly path?: PathKind;
  /** Undefined if the text is invalid. */
  readonly parse: (text: string) => T | undefined;
}

/** What a path must name at startup. Whoever opens the path checks `any`. */
export type PathKind = 'file' | 'directory' | 'any';

export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** Any text. `description` gives its meaning. */
export const text = (description: string): SettingType<string> => ({ description, parse: (text) => text });

export const matching = (pattern: RegExp, description: string): SettingType<string> => ({
  description,
  parse: (text) => (pattern.test(text) ? text : undefined),
});

/** A decimal integer. Both bounds are inclusive. */
export function integer(minimum: number, maximum: number, unit?: string): SettingType<number> {
  const range = `an integer from ${minimum} to ${maximum}`;
  return {
    description: unit === undefined ? range : `${range} (${unit})`,
    ...(unit === undefined ? {} : { unit }),
    parse: (text) => {
      const value = /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN;
      return value >= minimum && value <= maximum ? value : undefined;
    },
  };
}

export const oneOf = <T extends string>(words: readonly T[]): SettingType<T> => ({
  description: `one of ${words.join(', ')}`,
  parse: (text) => words.find((word) => word === text),
});

export const onOrOff: SettingType<boolean> = {
  description: 'on or off',
  parse: (text) => (text === 'on' ? true : text === 'off' ? false : undefined),
};

/** `127.0.0.1:8001`, `localhost:8001` or `[::1]:8001`. */
export const hostAndPort: SettingType<HostAndPort> = {
  description: 'host:port',
  parse: (text) => {
    const [, bracketed, plain, digits] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text) ?? [];
    const host = bracketed ?? plain;
    const port = Number(digits);
    return host === undefined || port > 65535 ? undefined : { host, port };
  },
};

/** A path, made absolute. The code that reads the file checks that it exists. */
export const filePath: SettingType<string> = {
  description: 'the path of a file',
  path: 'any',
  parse: (text) => resolve(text),
};

/** A path that stays as it is, for messages. */
export const givenPath: SettingType<string> = { ...filePath, parse: (text) => text };

/** The absolute path of a file that exists at startup. */
export const existingFile: SettingType<string> = {
  description: 'the path of an existing file',
  path: 'file',
  parse: (text) => resolve(text),
};

/** The absolute path of a directory that exists at startup. */
export const existingDirectory: SettingType<string> = {
  description: 'the path of an existing directory',
  path: 'directory',
  parse: (text) => resolve(text),
};

export const deviceIndexes: SettingType<readonly number[]> = {
  description: 'a list of distinct device indexes, such as 0,1',
  parse: (text) => {
    const indexes = text.split(',').map((part) => (/^(0|[1-9][0-9]{0,3})$/.test(part) ? Number(part) : Number.NaN));
    return indexes.some(Number.isNaN) || new Set(indexes).size !== indexes.length ? undefined : indexes;
  },
};

/** The largest user or group id. 2^32 − 1 means "no id" in system calls. */
const maxId = 2 ** 32 - 2;

const idOf = (text: string): number => (/^(0|[1-9][0-9]{0,9})$/.test(text) ? Number(text) : Number.NaN);

export const userIds: SettingType<readonly number[]> = {
  description: 'a list of distinct user ids, such as 1000,1001',
  parse: (text) => {
    const ids = text.split(',').map(idOf);
    return ids.every((id) => id <= maxId) && new Set(ids).size === ids.length ? ids : undefined;
  },
};

/** The id of a group. */
export const groupId: SettingType<number> = {
  description: 'a group id, or the name of a group in /etc/group',
  parse: (text) => {
    const id = /^[0-9]+$/.test(text) ? idOf(text) : namedGroup(text);
    return id !== undefined && id <= maxId ? id : undefined;
  },
};

/** group(5): `name:password:gid:members`. */
function namedGroup(name: string): number | undefined {
  const fields = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const id = fields.find(([each]) => each === name)?.[2];
  return id === undefined ? undefined : idOf(id);
}
