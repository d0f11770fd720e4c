import { existsSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { requireTool, unlessTool } from './tools.js';

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

/** For `t.test`: skips it without Chromium, and without the package that controls it. */
export const unlessChromium: { readonly skip?: string } =
  executablePath === undefined
    ? { skip: 'no Chromium is installed here: `apt-get install chromium`' }
    : unlessTool('playwright-core');

const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** The caller closes it. */
export function launchChromium(): Promise<Browser> {
  const { chromium }: typeof import('playwright-core') = requireTool('playwright-core');
  return chromium.launch({ ...(executablePath === undefined ? {} : { executablePath }), args });
}
