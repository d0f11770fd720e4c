import { parseArgs } from 'node:util';
import { UsageError } from './command.js';

/** An option with a value; the last one counts. */
export const string = { type: 'string' } as const;
/** An option with a value that can be repeated. */
export const strings = { type: 'string', multiple: true } as const;
/** An option without a value. */
export const flag = { type: 'boolean', default: false } as const;

type Options = Readonly<Record<string, typeof string | typeof strings | typeof flag>>;

/** The options of a command by name, and its other arguments. @throws UsageError */
export function parseArguments<const Known extends Options>(args: readonly string[], options: Known) {
  const config = { args: [...args], options, allowPositionals: true } as const;
  // In strict mode, Node.js refuses the same arguments with messages for programmers.
  const { tokens } = parseArgs({ ...config, strict: false, tokens: true });
  for (const token of tokens) if (token.kind === 'option') check(token, options);
  return parseArgs(config);
}

interface OptionToken {
  readonly name: string;
  /** The name as it was given, such as `--json`. */
  readonly rawName: string;
  readonly value: string | undefined;
  /** Whether the value is in the same argument, as in `--state=sealed`. */
  readonly inlineValue: boolean | undefined;
}

function check({ name, rawName, value, inlineValue }: OptionToken, options: Options): void {
  const option = Object.hasOwn(options, name) ? options[name] : undefined;
  if (option === undefined) throw new UsageError(`unknown option ${rawName}`);
  if (option.type === 'boolean') {
    if (value !== undefined) throw new UsageError(`${rawName} takes no value`);
  } else if (value === undefined) throw new UsageError(`${rawName} needs a value`);
  else if (!inlineValue && /^-./.test(value)) {
    const isForgotten = Object.keys(options).some((known) => value.split('=')[0] === `--${known}`);
    throw new UsageError(
      `${rawName} needs a value${isForgotten ? '' : `: if it is ${value}, write ${rawName}=${value}`}`,
    );
  }
}

/** Refuses arguments that the command does not take. @throws UsageError */
export function expectNone([argument]: readonly string[]): void {
  if (argument !== undefined) throw new UsageError(`unexpected argument ${argument}`);
}
