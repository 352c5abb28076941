import { describe, expect, it } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import { createApp } from '../../src/http/main.ts'
import {
  createMemoryStore,
  type Job,
  JobQueueService,
  type JobQueueStrategy,
  silentLogger,
} from '../../src/main.ts'
import { VERSION } from '../../src/version.ts'
import { openWorld, send } from './requests.ts'

describe('VERSION', () => {
  it('is that of the package', () => {
    expect(VERSION).toBe(packageJson.version)
  })
})

describe('GET /health', () => {
  it('tells the platform, the kind of store and what that promises', async () => {
    const { app } = await openWorld({ runtime: 'node' })
    const { status, json } = await send(app, 'GET /health')
    expect(status).toBe(200)
    expect(json).toEqual({
      status: 'ok',
      runtime: 'node',
      storage: 'memory',
      guarantee: 'process',
      version: VERSION,
    })
  })

  it('calls a platform that nobody named unknown', async () => {
    const { app } = await openWorld()
    expect((await send(app, 'GET /health')).json.runtime).toBe('unknown')
  })

  it('opens a store that is still to be opened', async () => {
    const { app } = await openWorld({}, { storage: Promise.resolve(createMemoryStore()) })
    expect((await send(app, 'GET /health')).json.storage).toBe('memory')
  })

  it('answers 503 when the store cannot be opened, without saying why', async () => {
    const storage = Promise.reject(new Error('connect redis://user:hunter2@10.0.0.7'))
    const { app } = await openWorld({ runtime: 'node' }, { storage })
    const { status, json } = await send(app, 'GET /health')
    expect(status).toBe(503)
    expect(json).toEqual({
      status: 'unavailable',
      runtime: 'node',
      storage: null,
      guarantee: null,
      version: VERSION,
    })
  })

  it('answers 503 when an open store has ceased to answer', async () => {
    const store = createMemoryStore()
    const service = new JobQueueService({ storage: store, logger: silentLogger })
    const app = createApp(service)
    expect((await send(app, 'GET /health')).status).toBe(200)
    store.read = () => Promise.reject(new Error('gone'))
    expect((await send(app, 'GET /health')).json.status).toBe('unavailable')
  })

  it('knows nothing of the store of a strategy of somebody else', async () => {
    const strategy: JobQueueStrategy = {
      add: async <Data>(job: Job<Data>) => job,
      start: async () => {},
      stop: async () => {},
    }
    const { app } = await openWorld({}, { strategy })
    const { status, json } = await send(app, 'GET /health')
    expect(status).toBe(200)
    expect(json).toMatchObject({ status: 'ok', storage: null, guarantee: null })
  })
})
