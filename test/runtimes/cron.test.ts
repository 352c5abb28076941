import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { request } from './conversation.ts'
import { OBJECTS, type Server, startWrangler, TOKEN } from './servers.ts'

const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const TICK = '/cdn-cgi/handler/scheduled?cron=*+*+*+*+*'

async function add(server: Server): Promise<string> {
  const body = { data: { path: 'boat.md', text: 'a boat' } }
  const { body: answer } = await request(server.url, { path: '/queues/index-document/jobs', body })
  return (answer as { job: { id: string } }).job.id
}

async function stateOf(server: Server, id: string): Promise<string> {
  const { body } = await request(server.url, { path: `/jobs/${id}` })
  return (body as { job: { state: string } }).job.state
}

const pass = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe.each([
  { storage: 'cloudflare-kv:JOBS', config: 'wrangler.toml' },
  { storage: 'durable-object:QUEUE', config: OBJECTS },
])('on $storage', ({ storage, config }) => {
  test('with draining off, a job waits for the cron, and one tick runs it', {
    timeout: 60_000,
  }, async () => {
    const vars = {
      WHERRY_STORAGE: storage,
      WHERRY_TOKEN: TOKEN,
      WHERRY_DRAIN_ON_ADD: 'false',
    }
    const server = await startWrangler(`${folder}/off`, vars, config)
    try {
      const id = await add(server)
      await pass(3_000)
      expect(await stateOf(server, id)).toBe('PENDING')
      expect((await fetch(server.url + TICK)).status).toBe(200)
      expect(await stateOf(server, id)).toBe('COMPLETED')
    } finally {
      await server.stop()
    }
  })

  test('with draining on, a job is run without a tick, within seconds', {
    timeout: 60_000,
  }, async () => {
    const vars = { WHERRY_STORAGE: storage, WHERRY_TOKEN: TOKEN }
    const server = await startWrangler(`${folder}/on`, vars, config)
    try {
      const id = await add(server)
      for (let tries = 0; tries < 50 && (await stateOf(server, id)) !== 'COMPLETED'; tries++)
        await pass(100)
      expect(await stateOf(server, id)).toBe('COMPLETED')
    } finally {
      await server.stop()
    }
  })
})
