/** Controls, bidirectional and other format characters, lone surrogates, line and paragraph separators. */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Fillers and selectors without a width of their own. */
const invisible = /\p{Default_Ignorable_Code_Point}/u;

/**
 * The format `visible-text`: each character is visible, and Unicode NFC leaves the text unchanged. So two texts that look
 * the same because of such characters cannot be two names, and no text can reorder the line that shows it.
 */
export const isVisibleText = (text: string): boolean =>
  !unprintable.test(text) && !invisible.test(text) && text === text.normalize('NFC');
