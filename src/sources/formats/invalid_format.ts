import { WorkerError } from '../../errors.js';
import { type FormatRule, formatRules } from './rules.js';

/** The first broken rule of a model: `at` is the offset in the file, 0 for a rule about the whole file. */
export interface FormatFault {
  readonly rule: FormatRule;
  readonly file: string;
  readonly at: number;
}

/** Thrown by a rule that the bytes break. `file` is set by the check of that file. */
export class InvalidFormat extends Error {
  constructor(
    readonly rule: FormatRule,
    readonly at: number,
    readonly file?: string,
  ) {
    super(rule);
  }
}

/** Thrown while a header is parsed if it needs more bytes than were read: the parse starts again with them. */
export class ShortHeader extends Error {
  constructor(readonly neededBytes: number) {
    super('the header continues');
  }
}

/** The error that clients see. It names the rule, the file and the offset, and repeats nothing of the content. */
export const formatError = (fault: FormatFault): WorkerError =>
  new WorkerError('FORMAT_INVALID', `${fault.file}: ${formatRules[fault.rule]} (at byte ${fault.at})`, {
    format: fault,
  });
