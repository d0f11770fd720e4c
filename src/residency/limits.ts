import { isVisibleText } from '../seal/visible_text.js';

/** Shards of one model. */
export const maxShards = 1024;

/** Characters of a `model_ref`. */
export const maxModelRefChars = 512;

/** Whether a text can be a `model_ref`. */
export const isModelRef = (text: string): boolean => text.length <= maxModelRefChars && isVisibleText(text);
