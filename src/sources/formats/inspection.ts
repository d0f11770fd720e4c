import type { FormatFault } from './invalid_format.js';
import type { FileFormat, FileRange, FileSize, Model } from './model.js';

/** The work of an inspection thread. */
export type InspectionTask = { readonly headerBytes: number } & (
  | { readonly kind: 'model'; readonly model: Model<FileSize> }
  | { readonly kind: 'index'; readonly index: FileSize }
);

/** What a thread found: the formats of a model's files, the names in an index, or the first fault. */
export type InspectionResult =
  | { readonly formats: readonly FileFormat[] }
  | { readonly names: readonly string[] }
  | { readonly fault: FormatFault };

/** A thread asks for a range, which it gets as a message of its bytes, or ends with a result. */
export type InspectionMessage = { readonly read: FileRange } | { readonly result: InspectionResult };
