import type { Setting } from './setting.js';
import { sections } from './settings.js';

/** The environment section of `vram-worker --help`. */
export function settingsHelp(): string {
  const lines = Object.values(sections)
    .flatMap((section) => Object.values(section))
    .map((setting) => `  ${setting.name}  ${valueText(setting)}\n      ${setting.doc}\n`);
  return `Environment variables:\n${toPlainText(lines.join(''))}`;
}

/** Markdown without the marks of code and the sentences that only link to a document. */
const toPlainText = (markdown: string): string =>
  markdown.replaceAll('`', '').replaceAll(/ See \[[^\]]+\]\([^)]+\)\./g, '');

/** The type and the default of a setting. */
export function valueText({ type, default: standard, unset }: Setting): string {
  const size =
    typeof standard === 'number' && standard > 0 && type.unit?.startsWith('bytes') ? ` = ${binarySize(standard)}` : '';
  return `${type.description}; default: ${unset ?? `\`${standard}\`${size}`}`;
}

function binarySize(bytes: number): string {
  const [unit, divisor] =
    bytes >= 1024 ** 3 ? ['GiB', 1024 ** 3] : bytes >= 1024 ** 2 ? ['MiB', 1024 ** 2] : ['KiB', 1024];
  return `${bytes / Number(divisor)} ${unit}`;
}
