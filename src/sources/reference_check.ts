import { Compile } from 'typebox/compile';
import { SourceReference } from './reference.js';

const validator = Compile(SourceReference);

/** Whether a JSON value, such as one of a manifest, is a reference. */
export const isSourceReference = (value: unknown): value is SourceReference => validator.Check(value);
