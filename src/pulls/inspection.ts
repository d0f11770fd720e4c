import type { TransferOptions } from '../sources/egress/request.js';
import type { Inspector } from '../sources/formats/inspector.js';
import { inspectModel } from '../sources/inspect_model.js';
import type { ResolvedModel } from '../sources/model.js';
import type { FormatCheck } from './pull_request.js';

/** Checks the formats of files by their headers. @throws WorkerError FORMAT_INVALID, and the errors of reads */
export async function checkFormats(
  check: FormatCheck,
  { shards, indexes }: Pick<ResolvedModel, 'shards' | 'indexes'>,
  inspector: Inspector,
  options: TransferOptions,
): Promise<void> {
  if (check === 'off') return;
  const whole = check === 'strict';
  await inspectModel(inspector, { shards, indexes: whole ? indexes : [] }, { ...options, whole });
}
