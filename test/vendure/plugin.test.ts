/** The plugin as a config holds it. */
import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import {
  ensureConfigLoaded,
  getConfig,
  type JobQueueStrategy,
  type RuntimeVendureConfig,
  resetConfig,
  setConfig,
  Logger as VendureLog,
  type VendureLogger,
} from '@vendure/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type WherryJobQueueOptions, WherryJobQueuePlugin } from '../../adapters/vendure/main.ts'
import { createMemoryStore } from '../../src/main.ts'

const warnings: string[] = []
const logger: VendureLogger = {
  error() {},
  warn: (message) => void warnings.push(message),
  info() {},
  verbose() {},
  debug() {},
}

beforeEach(async () => {
  warnings.length = 0
  VendureLog.useLogger(logger)
  await ensureConfigLoaded()
  // Of the defaults it makes a copy, as a boot does.
  await setConfig({})
})
afterEach(resetConfig)

/** A config as Vendure has made it when plugins get to change it. */
async function configured(options: WherryJobQueueOptions): Promise<RuntimeVendureConfig> {
  const plugin = WherryJobQueuePlugin.init(options)
  const configure = Reflect.getMetadata('configuration', plugin)
  return configure(getConfig())
}

const names = ({ jobQueueOptions, schedulerOptions }: RuntimeVendureConfig): string[] =>
  [
    jobQueueOptions.jobQueueStrategy,
    jobQueueOptions.jobBufferStorageStrategy,
    schedulerOptions.schedulerStrategy,
  ].map((strategy) => strategy.constructor.name)

describe('WherryJobQueuePlugin', () => {
  test.each<[why: string, scheduler: WherryJobQueueOptions['scheduler'], strategy: string]>([
    ['leaves the scheduler alone', undefined, 'NoopSchedulerStrategy'],
    ['leaves it alone when told to', false, 'NoopSchedulerStrategy'],
    ['brings its own when told to', true, 'WherrySchedulerStrategy'],
    ['brings its own with settings', { missedRuns: 'skip' }, 'WherrySchedulerStrategy'],
  ])('%s', async (_why, scheduler, strategy) => {
    const config = await configured({ storage: 'memory:', scheduler })
    expect(names(config)).toEqual([
      'WherryJobQueueStrategy',
      'WherryJobBufferStorageStrategy',
      strategy,
    ])
  })

  test.each([
    [undefined, 'theirs.'],
    ['ours.', 'ours.'],
    ['', ''],
  ])('with the prefix %j, names begin with %j', async (prefix, expected) => {
    await setConfig({ jobQueueOptions: { prefix: 'theirs.' } })
    const config = await configured({ storage: 'memory:', prefix })
    expect(config.jobQueueOptions.prefix).toBe(expected)
  })

  test.each<[why: string, keepSettledDays: number | false | undefined, days: number | undefined]>([
    ['for thirty days', undefined, 30],
    ['for as long as it is told', 7, 7],
    ['for ever', false, undefined],
  ])('keeps settled jobs %s', async (_why, keepSettledDays, days) => {
    const config = await configured({ storage: 'memory:', keepSettledDays })
    // A script that populates a shop gives its config to an app a second time.
    WherryJobQueuePlugin.configure(config)
    const tasks = config.schedulerOptions.tasks.filter(({ id }) => id === 'clean-jobs')
    expect(tasks.map(({ options }) => options.params?.['days'])).toEqual(days ? [days] : [])
  })

  test('touches no store before the app starts', async () => {
    const store = createMemoryStore()
    await configured({ storage: store, scheduler: true })
    // Nor does a URL that leads nowhere do harm to a migration.
    await configured({ storage: 'redis://127.0.0.1:1' })
    const { reads, writes } = store.operations()
    expect([reads, writes]).toEqual([0, 0])
  })

  test('a shop whose storage is none does not start, and hears which there are', async () => {
    const { jobQueueOptions } = await configured({ storage: 'memcached://x' })
    const { jobQueueStrategy } = jobQueueOptions
    await expect(jobQueueStrategy.init?.({} as never)).rejects.toThrow(
      /^Cannot open a store: its URL begins with "memcached:", expected one of .*redis:/,
    )
  })

  test.each([
    [true, 1],
    [false, 0],
  ])('warns of a store that others do not see, in a worker: %s', async (isWorker, count) => {
    const { jobQueueOptions } = await configured({ storage: 'memory:' })
    const { jobQueueStrategy } = jobQueueOptions
    await jobQueueStrategy.init?.({ get: () => ({ isWorker }) } as never)
    await jobQueueStrategy.destroy?.()
    expect(warnings.map((text) => text.slice(0, 37))).toEqual(
      Array(count).fill('The store "memory" is for one process'),
    )
  })

  test('a shop whose store does not answer does not start, and ends', async () => {
    const plugin = join(import.meta.dirname, '../../adapters/vendure/main.ts')
    const code = `
      import { ensureConfigLoaded, getConfig } from '@vendure/core'
      import { WherryJobQueuePlugin } from ${JSON.stringify(plugin)}
      await ensureConfigLoaded()
      WherryJobQueuePlugin.init({ storage: 'redis://127.0.0.1:1' })
      const { jobQueueOptions } = WherryJobQueuePlugin.configure(getConfig())
      await jobQueueOptions.jobQueueStrategy.init({}).catch(({ code }) => process.stdout.write(code))`
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', code], {
      encoding: 'utf8',
      cwd: import.meta.dirname,
      timeout: 25_000,
    })
    expect(output).toBe('store-unavailable')
  })

  test('warns of a plugin that has replaced what it brought', async () => {
    const config = await configured({ storage: 'memory:', scheduler: true })
    const plugin = new WherryJobQueuePlugin()
    await plugin.onApplicationBootstrap()
    expect(warnings).toEqual([])
    config.jobQueueOptions.jobQueueStrategy = {} as JobQueueStrategy
    await plugin.onApplicationBootstrap()
    expect(warnings).toEqual([
      'Another plugin has replaced jobQueueOptions.jobQueueStrategy: leave that plugin out, or list it before this one',
    ])
  })

  test('is a plugin of Vendure 3.7 and later', () => {
    expect(Reflect.getMetadata('compatibility', WherryJobQueuePlugin)).toBe('^3.7.0')
  })

  test('is required by a CommonJS shop', () => {
    const main = join(import.meta.dirname, '../../adapters/vendure/main.ts')
    const code = `
      const { WherryJobQueuePlugin, jobSignal } = require(${JSON.stringify(main)})
      const { VendurePlugin } = require('@vendure/core')
      const plugin = WherryJobQueuePlugin.init({ storage: 'memory:' })
      process.stdout.write([typeof VendurePlugin, plugin.name, String(jobSignal())].join(' '))`
    const output = execFileSync(process.execPath, ['--input-type=commonjs', '-e', code], {
      encoding: 'utf8',
      cwd: import.meta.dirname,
    })
    expect(output).toBe('function WherryJobQueuePlugin undefined')
    expect(createRequire(import.meta.url).resolve('@vendure/core')).toContain('node_modules')
  })
})
