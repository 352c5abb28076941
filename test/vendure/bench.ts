/** The strategies in this process, without a server: what they need of Vendure is its config. */
import {
  ChannelService,
  ConfigService,
  ensureConfigLoaded,
  getConfig,
  type Injector,
  JobQueueService,
  NoopLogger,
  type PartialVendureConfig,
  ProcessContext,
  RequestContextService,
  resetConfig,
  setConfig,
  Logger as VendureLog,
} from '@vendure/core'
import { Engine } from '../../adapters/vendure/engine.ts'
import { WherryJobBufferStorageStrategy } from '../../adapters/vendure/job-buffer-storage-strategy.ts'
import { WherryJobQueueStrategy } from '../../adapters/vendure/job-queue-strategy.ts'
import type { SchedulerSettings, WherryJobQueueOptions } from '../../adapters/vendure/main.ts'
import { WherrySchedulerStrategy } from '../../adapters/vendure/scheduler-strategy.ts'
import { createMemoryStore } from '../../src/main.ts'

export interface BenchOptions extends Partial<WherryJobQueueOptions> {
  readonly config?: PartialVendureConfig
  readonly isWorker?: boolean
  /** Ids of the buffers that Vendure knows. */
  readonly buffers?: readonly string[]
  readonly settings?: SchedulerSettings
}

export interface Bench extends AsyncDisposable {
  readonly queue: WherryJobQueueStrategy
  readonly buffers: WherryJobBufferStorageStrategy
  readonly scheduler: WherrySchedulerStrategy
  readonly injector: Injector
  /** Where all is kept. */
  readonly engine: Engine
}

/** The strategies of one process, initialised as Vendure does it. */
export async function openBench(options: BenchOptions = {}): Promise<Bench> {
  const { config = {}, isWorker = true, buffers = [], settings, ...given } = options
  VendureLog.useLogger(new NoopLogger())
  await ensureConfigLoaded()
  await setConfig(config)
  const engine = new Engine({ storage: createMemoryStore(), ...given })
  const injector = injectorOf(isWorker, buffers)
  const bench = {
    engine,
    injector,
    queue: new WherryJobQueueStrategy(engine, { storage: 'memory:', ...given }),
    buffers: new WherryJobBufferStorageStrategy(engine),
    scheduler: new WherrySchedulerStrategy(engine, settings),
  }
  const strategies = [bench.queue, bench.buffers, bench.scheduler]
  for (const strategy of strategies) await strategy.init(injector)
  return {
    ...bench,
    async [Symbol.asyncDispose]() {
      for (const strategy of strategies) await strategy.destroy()
      resetConfig()
    },
  }
}

function injectorOf(isWorker: boolean, buffers: readonly string[]): Injector {
  const services = new Map<unknown, unknown>([
    [ConfigService, getConfig()],
    [ProcessContext, { isWorker, isServer: !isWorker }],
    [JobQueueService, { jobBufferService: { buffers: new Set(buffers.map((id) => ({ id }))) } }],
    [ChannelService, { getDefaultChannel: async () => ({ id: 1 }) }],
    [RequestContextService, { create: async (context: object) => context }],
  ])
  return { get: (token: unknown) => services.get(token) } as unknown as Injector
}
