import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { storeCases } from '../../src/testing/main.ts'
import { KvServer } from '../support/kv-server.ts'
import { PostgresServer, postgresMissing } from '../support/postgres-server.ts'
import { RedisServer, redisMissing } from '../support/redis-server.ts'
import { UpstashBridge } from '../support/upstash-bridge.ts'
import { ROOT } from './servers.ts'

interface Line {
  readonly subject: string
  readonly name: string
  readonly held?: boolean
  readonly skipped?: string
  readonly error?: string
}

const RUNTIMES: Readonly<Record<string, readonly string[]>> = {
  deno: ['run', '-A', 'test/runtimes/conformance.ts'],
  bun: ['run', 'test/runtimes/conformance.ts'],
}

const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

for (const [runtime, args] of Object.entries(RUNTIMES)) {
  describe(`the conformance suite on ${runtime}`, () => {
    let lines: Line[] = []
    beforeAll(async () => {
      const command = join(ROOT, 'node_modules/.bin', runtime)
      const redis = redisMissing === null ? await RedisServer.start() : null
      const bridge = redis && (await UpstashBridge.to(redis.url))
      const postgres = postgresMissing === null ? await PostgresServer.start() : null
      // Of its writes some are answered only when they are sent again.
      const http = runtime === 'deno' ? 2 : 1
      const denoKv = await KvServer.on(join(folder, `${runtime}.kv`), { http, losesEvery: 100 })
      const urls = {
        denoKv: denoKv.url,
        redis: redis?.url,
        upstash: bridge?.url,
        token: bridge?.token,
        postgres: postgres?.url,
      }
      const env = { ...process.env, DENO_KV_ACCESS_TOKEN: denoKv.token }
      const options = { cwd: ROOT, env, maxBuffer: 2 ** 26, timeout: 150_000 }
      const { stdout } = await promisify(execFile)(
        command,
        [...args, JSON.stringify(urls)],
        options,
      )
      expect(denoKv.answersLost).toBeGreaterThan(0)
      await denoKv.close()
      postgres?.close()
      await bridge?.close()
      await redis?.close()
      lines = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
    }, 170_000)

    for (const subject of [
      'memory',
      'simulated KV',
      'sqlite',
      'fs',
      'deno-kv',
      'deno-kv on a server',
      'redis',
      'upstash',
      'postgres',
    ]) {
      for (const { name } of storeCases) {
        test(`${subject}: ${name}`, ({ skip }) => {
          if (subject === 'postgres' && postgresMissing !== null) skip(postgresMissing)
          if (/redis|upstash/.test(subject) && redisMissing !== null) skip(redisMissing)
          const line = lines.find((one) => one.subject === subject && one.name === name)
          if (line?.skipped !== undefined) skip(line.skipped)
          expect(line?.error).toBeUndefined()
          expect(line?.held).toBe(true)
        })
      }
    }
  })
}
