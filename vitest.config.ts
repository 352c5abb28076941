import { cloudflareTest } from '@cloudflare/vitest-plugin'
import { defineConfig, type ViteUserConfig } from 'vitest/config'

/** By itself vitest leaves one core of two idle, and so do tests that wait for servers. */
const MAX_WORKERS = 2
/** They hold processes to a time, and want the machine for themselves: last, and one by one. */
const ALONE = 'test/processes/**'

const config: ViteUserConfig = defineConfig({
  test: {
    maxWorkers: MAX_WORKERS,
    testTimeout: 30_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          include: ['test/**/*.test.ts'],
          exclude: ['test/workerd/**', 'test/objects/**', ALONE],
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'processes',
          include: [`${ALONE}/*.test.ts`],
          hookTimeout: 60_000,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        plugins: [cloudflareTest({ wrangler: { configPath: './wrangler.toml' } })],
        test: { name: 'workerd', include: ['test/workerd/**/*.test.ts'] },
      },
      {
        extends: true,
        plugins: [cloudflareTest({ wrangler: { configPath: './test/objects/wrangler.toml' } })],
        test: { name: 'objects', include: ['test/objects/**/*.test.ts'] },
      },
    ],
  },
})

export default config
