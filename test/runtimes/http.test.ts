import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { converse, request, type Turn } from './conversation.ts'
import { OBJECTS, ROOT, type Server, start, startWrangler, TOKEN } from './servers.ts'

const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
const bin = (name: string): string => join(ROOT, 'node_modules/.bin', name)
const app = (runtime: string): string => `examples/search/${runtime}.ts`

const SERVERS: Readonly<
  Record<string, { readonly runtime: string; readonly start: () => Promise<Server> }>
> = {
  'Node on memory': {
    runtime: 'node',
    start: () => start(process.execPath, [app('node')], settings('memory:')),
  },
  'Node on sqlite': {
    runtime: 'node',
    start: () => start(process.execPath, [app('node')], settings(`sqlite:${folder}/node.db`)),
  },
  'Node on fs': {
    runtime: 'node',
    start: () => start(process.execPath, [app('node')], settings(`fs:${folder}/node`)),
  },
  'Deno on sqlite': {
    runtime: 'deno',
    start: () =>
      start(bin('deno'), ['run', '-A', app('deno')], settings(`sqlite:${folder}/deno.db`)),
  },
  'Deno on Deno KV': {
    runtime: 'deno',
    start: () =>
      start(bin('deno'), ['run', '-A', app('deno')], settings(`deno-kv:${folder}/deno.kv`)),
  },
  'Bun on sqlite': {
    runtime: 'bun',
    start: () => start(bin('bun'), ['run', app('bun')], settings(`sqlite:${folder}/bun.db`)),
  },
  'workerd on Cloudflare KV': {
    runtime: 'cloudflare',
    start: () => startWrangler(`${folder}/kv`, settings('cloudflare-kv:JOBS')),
  },
  'workerd on a Durable Object': {
    runtime: 'cloudflare',
    start: () => startWrangler(`${folder}/do`, settings('durable-object:QUEUE'), OBJECTS),
  },
  'workerd on a Durable Object with KV': {
    runtime: 'cloudflare',
    start: () => {
      const storage = 'cloudflare-kv:JOBS+durable-object:QUEUE'
      return startWrangler(`${folder}/do+kv`, settings(storage), OBJECTS)
    },
  },
}

function settings(storage: string): Record<string, string> {
  return { WHERRY_STORAGE: storage, WHERRY_TOKEN: TOKEN }
}

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('one conversation over HTTP', () => {
  let first: Turn[] | undefined

  for (const [name, { runtime, start: open }] of Object.entries(SERVERS)) {
    describe(name, () => {
      let server: Server
      beforeAll(async () => {
        server = await open()
      }, 60_000)
      afterAll(() => server?.stop())

      test('gives the same answers as the others', { timeout: 120_000 }, async () => {
        const turns = await converse(server.url)
        first ??= turns
        for (const [i, turn] of turns.entries()) expect(turn).toEqual(first[i])
        expect(turns).toHaveLength(first.length)
        expect(turns.find(({ ask }) => ask === 'the totals are as before')?.body).toBe(true)
        expect(turns.filter(({ status }) => status >= 500)).toEqual([])
        const { body } = await request(server.url, { path: '/health' })
        expect(body).toMatchObject({ status: 'ok', runtime })
        expect(server.output()).not.toContain(TOKEN)
      })
    })
  }

  test('is the one that is written down', () => {
    expect(
      first?.map(({ ask, status, body }) => [
        ask,
        status,
        (body as { error?: { code: string } } | null)?.error?.code ?? '',
      ]),
    ).toMatchInlineSnapshot(`
      [
        [
          "health needs no token",
          200,
          "",
        ],
        [
          "no token",
          401,
          "unauthorized",
        ],
        [
          "a wrong token",
          401,
          "unauthorized",
        ],
        [
          "a token of another kind",
          401,
          "unauthorized",
        ],
        [
          "a foreign Origin, with the token",
          200,
          "",
        ],
        [
          "the queues",
          200,
          "",
        ],
        [
          "a queue",
          200,
          "",
        ],
        [
          "add one",
          201,
          "",
        ],
        [
          "add one with an id",
          201,
          "",
        ],
        [
          "add several",
          201,
          "",
        ],
        [
          "add rich data",
          201,
          "",
        ],
        [
          "a settled job",
          200,
          "",
        ],
        [
          "a settled job",
          200,
          "",
        ],
        [
          "a settled job",
          200,
          "",
        ],
        [
          "a settled job",
          200,
          "",
        ],
        [
          "a settled job",
          200,
          "",
        ],
        [
          "search",
          200,
          "",
        ],
        [
          "search for what is not there",
          200,
          "",
        ],
        [
          "list",
          200,
          "",
        ],
        [
          "list a state that none has",
          200,
          "",
        ],
        [
          "next, with nothing to do",
          200,
          "",
        ],
        [
          "malformed JSON",
          400,
          "json-malformed",
        ],
        [
          "no data",
          400,
          "input-invalid",
        ],
        [
          "an unknown field",
          400,
          "input-invalid",
        ],
        [
          "an unknown option",
          400,
          "input-invalid",
        ],
        [
          "negative retries",
          400,
          "input-invalid",
        ],
        [
          "a priority too high",
          400,
          "input-invalid",
        ],
        [
          "a delay and a time",
          400,
          "input-invalid",
        ],
        [
          "an id that is a path",
          400,
          "name-invalid",
        ],
        [
          "an id that is taken",
          409,
          "id-taken",
        ],
        [
          "a typed array of five billion",
          400,
          "input-invalid",
        ],
        [
          "a prototype in the meta",
          400,
          "input-invalid",
        ],
        [
          "a batch with one bad",
          400,
          "input-invalid",
        ],
        [
          "an empty batch",
          400,
          "input-invalid",
        ],
        [
          "a batch too long",
          400,
          "input-invalid",
        ],
        [
          "a body over the limit",
          413,
          "body-too-large",
        ],
        [
          "an unknown queue",
          404,
          "queue-not-found",
        ],
        [
          "a job for an unknown queue",
          404,
          "queue-not-found",
        ],
        [
          "a queue name that is a path",
          404,
          "queue-not-found",
        ],
        [
          "a queue name with a line break",
          404,
          "queue-not-found",
        ],
        [
          "a queue name of the prototype",
          404,
          "queue-not-found",
        ],
        [
          "an unknown job",
          404,
          "job-not-found",
        ],
        [
          "a job id that is a path",
          404,
          "job-not-found",
        ],
        [
          "take 0",
          400,
          "input-invalid",
        ],
        [
          "take 1001",
          400,
          "input-invalid",
        ],
        [
          "take that is no number",
          400,
          "input-invalid",
        ],
        [
          "a negative skip",
          400,
          "input-invalid",
        ],
        [
          "an unknown state",
          400,
          "input-invalid",
        ],
        [
          "an unknown sort",
          400,
          "input-invalid",
        ],
        [
          "an unknown parameter",
          400,
          "input-invalid",
        ],
        [
          "a removal with a slip",
          400,
          "input-invalid",
        ],
        [
          "a removal with a bad date",
          400,
          "input-invalid",
        ],
        [
          "cancel a settled job",
          409,
          "job-settled",
        ],
        [
          "cancel an unknown job",
          404,
          "job-not-found",
        ],
        [
          "retry an unknown job",
          404,
          "job-not-found",
        ],
        [
          "remove an unknown job",
          404,
          "job-not-found",
        ],
        [
          "a budget of nothing",
          400,
          "input-invalid",
        ],
        [
          "a budget of a day",
          400,
          "input-invalid",
        ],
        [
          "a body that is text",
          415,
          "media-type-unsupported",
        ],
        [
          "no such route",
          404,
          "route-not-found",
        ],
        [
          "no such method",
          404,
          "route-not-found",
        ],
        [
          "the totals are as before",
          200,
          "",
        ],
        [
          "remove one",
          204,
          "",
        ],
        [
          "remove it again",
          404,
          "job-not-found",
        ],
        [
          "remove all that are settled",
          200,
          "",
        ],
        [
          "list what is left",
          200,
          "",
        ],
      ]
    `)
  })
})
