/** Characters that a terminal shows in two columns: East Asian Wide and Fullwidth (UAX #11), and emoji. */
const wide =
  /[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{16fe0}-\u{18cff}\u{1b000}-\u{1b2ff}\u{1f000}-\u{1faff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
const combining = /^[\p{Mn}\p{Me}]$/u;

/** The columns that text takes in a terminal. The text has no control characters. */
export function widthOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += widthOfCharacter(character);
  return columns;
}

/** Text in at most this many columns. Its middle is cut, because the ends of file names tell files apart. */
export function fit(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  if (columns <= 3) return head([...text], columns);
  const rest = columns - 2;
  const first = head([...text], Math.floor(rest / 2));
  const last = head([...text].reverse(), rest - widthOf(first));
  return `${first}..${[...last].reverse().join('')}`;
}

/** Text in exactly this many columns. */
export const padded = (text: string, columns: number): string => {
  const fitted = fit(text, columns);
  return fitted + ' '.repeat(Math.max(0, columns - widthOf(fitted)));
};

function head(characters: readonly string[], columns: number): string {
  let width = 0;
  const taken = [];
  for (const character of characters) {
    width += widthOfCharacter(character);
    if (width > columns) break;
    taken.push(character);
  }
  return taken.join('');
}

function widthOfCharacter(character: string): number {
  if (character < '\u0300') return 1;
  if (combining.test(character)) return 0;
  return wide.test(character) ? 2 : 1;
}
