/** Control, format (bidirectional and zero-width), unpaired surrogate, and line or paragraph separator. */
const unsafe = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * Text of a worker or a source, for people. A terminal would run control characters, and bidirectional ones could hide
 * text, so they become `\u{1b}`.
 */
export const safeText = (text: string): string =>
  text.replace(unsafe, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);

/** A value as JSON in one line, with the same characters escaped as JSON escapes them. */
export const safeJson = (value: unknown): string =>
  JSON.stringify(value).replace(unsafe, (character) =>
    character.replace(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
