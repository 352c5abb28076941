import {
  createExecutionContext,
  createScheduledController,
  waitOnExecutionContext,
} from 'cloudflare:test'
import { env, exports } from 'cloudflare:workers'
import { expect, test } from 'vitest'
import { openStore, serve } from '../../adapters/runtime/cloudflare.ts'
import { createMemoryStore, type Job, type JobQueue, JobQueueService } from '../../src/main.ts'

// At a Worker's global scope I/O, timers and randomness throw: this module could not even load.
const jobs = new JobQueueService({ storage: openStore('cloudflare-kv:JOBS?base=global', env) })
const creating = jobs.createQueue({ name: 'double', process: (job: Job<number>) => job.data * 2 })
const worker = serve(async () => jobs)

const TOKEN = 'a-token'

test('importing, constructing, opening and creating work at global scope', async () => {
  const queue: JobQueue<number, number> = await creating
  expect(jobs.getJobQueues()).toEqual([{ name: 'double', running: false }])
  expect(await jobs.guarantee).toBe('eventual')
  const job = await queue.add(21)
  const context = createExecutionContext()
  await worker.scheduled(createScheduledController(), { ...env }, context)
  await waitOnExecutionContext(context)
  expect(await job.wait()).toBe(42)
})

test('start() is refused, naming drain()', async () => {
  await expect(jobs.start()).rejects.toThrow('drain()')
})

test('setup runs once an isolate, whatever comes first and however many at once', async () => {
  let setups = 0
  const counted = serve(async () => {
    setups++
    return new JobQueueService({ storage: createMemoryStore() })
  })
  const settings = { WHERRY_TOKEN: TOKEN }
  const ask = () => counted.fetch(new Request('http://worker/health'), settings)
  const answers = await Promise.all([
    ask(),
    ask(),
    counted.scheduled(createScheduledController(), settings),
    ask(),
  ])
  expect((await answers[0]?.json()) as unknown).toMatchObject({
    status: 'ok',
    runtime: 'cloudflare',
    storage: 'memory',
  })
  await ask()
  expect(setups).toBe(1)
})

test('a binding that is not there is named', async () => {
  await expect(openStore('cloudflare-kv:NONE', env)).rejects.toThrow('"NONE"')
  await expect(openStore('redis://user:secret@host', env)).rejects.toThrow('cloudflare-kv:')
})

test('the example Worker answers', async () => {
  const { default: example } = exports as unknown as {
    readonly default: { fetch(url: string): Promise<Response> }
  }
  const response = await example.fetch('http://worker/health')
  expect(await response.json()).toMatchObject({
    status: 'ok',
    runtime: 'cloudflare',
    storage: 'cloudflare-kv',
    guarantee: 'eventual',
  })
})
