import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ROOT, type Server, start, startWrangler } from './servers.ts'

const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
const bin = (name: string): string => join(ROOT, 'node_modules/.bin', name)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The commands of the README, without a token: each serves this machine alone. */
const COMMANDS: Readonly<
  Record<
    string,
    { readonly runtime: string; readonly command: string; readonly args: readonly string[] }
  >
> = {
  'npm start': { runtime: 'node', command: 'npm', args: ['start'] },
  'deno task start': { runtime: 'deno', command: bin('deno'), args: ['task', 'start'] },
  'bun run start': { runtime: 'bun', command: bin('bun'), args: ['run', 'start'] },
}

/** What a web page could make a browser of this machine send, and what it gets. */
const DOOR: readonly [string, RequestInit & { readonly path: string }, number][] = [
  ['a program of this machine', { path: '/queues' }, 200],
  ['a page of the same origin', { path: '/queues', headers: { origin: 'SELF' } }, 200],
  ['a page from elsewhere', { path: '/queues', headers: { origin: 'https://evil.example' } }, 403],
  ['a page in a sandbox', { path: '/queues', headers: { origin: 'null' } }, 403],
  [
    'a form',
    {
      path: '/next',
      method: 'POST',
      body: 'a=1',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    },
    415,
  ],
  ['a POST of nothing', { path: '/next', method: 'POST' }, 415],
  [
    'a program that says JSON',
    { path: '/next', method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } },
    200,
  ],
]

describe('the example app', () => {
  for (const [name, { runtime, command, args }] of Object.entries(COMMANDS)) {
    test(`${name} serves it on ${runtime}, to this machine alone`, {
      timeout: 60_000,
    }, async () => {
      const server = await start(command, args, {
        WHERRY_STORAGE: `sqlite:${folder}/${runtime}.db`,
      })
      try {
        const health = await (await fetch(`${server.url}/health`)).json()
        expect(health).toEqual({
          status: 'ok',
          runtime,
          storage: 'sqlite',
          guarantee: 'atomic',
          version: '0.1.0',
        })
        await expectDoor(server)
      } finally {
        await server.stop()
      }
    })

    test(`${name} refuses an address that others reach while there is no token`, {
      timeout: 60_000,
    }, async () => {
      await expect(
        start(command, args, { HOST: '0.0.0.0', WHERRY_STORAGE: 'memory:' }),
      ).rejects.toThrow('WHERRY_TOKEN')
    })

    test(`${name} refuses a storage that it does not know, naming those it does, and not its password`, {
      timeout: 60_000,
    }, async () => {
      const starting = start(command, args, {
        WHERRY_STORAGE: 'carrier-pigeon://user:hunter2@loft',
      })
      const error = await starting.then(
        () => null,
        (reason: Error) => reason,
      )
      expect(error?.message).toMatch(/carrier-pigeon:.*memory:, sqlite:, fs:/)
      expect(error?.message).not.toContain('hunter2')
    })
  }

  test('a Worker without a token answers 403 to everything but /health', {
    timeout: 60_000,
  }, async () => {
    const server = await startWrangler(`${folder}/closed`, {})
    try {
      expect(await statusOf(server, { path: '/health' })).toBe(200)
      for (const path of ['/queues', '/jobs', '/search?q=x', '/nowhere'])
        expect(await statusOf(server, { path })).toBe(403)
    } finally {
      await server.stop()
    }
  })
})

async function expectDoor(server: Server): Promise<void> {
  for (const [who, request, status] of DOOR) {
    expect([who, await statusOf(server, request)]).toEqual([who, status])
  }
}

async function statusOf(
  { url }: Server,
  { path, ...init }: RequestInit & { readonly path: string },
): Promise<number> {
  const headers = Object.entries(init.headers ?? {}).map(([name, value]): [string, string] => [
    name,
    value === 'SELF' ? url : String(value),
  ])
  const response = await fetch(url + path, { ...init, headers })
  await response.arrayBuffer()
  return response.status
}
