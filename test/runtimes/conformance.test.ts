import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { storeCases } from '../../src/testing/main.ts'
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

for (const [runtime, args] of Object.entries(RUNTIMES)) {
  describe(`the conformance suite on ${runtime}`, () => {
    let lines: Line[] = []
    beforeAll(async () => {
      const command = join(ROOT, 'node_modules/.bin', runtime)
      const redis = redisMissing === null ? await RedisServer.start() : null
      const bridge = redis && (await UpstashBridge.to(redis.url))
      const postgres = postgresMissing === null ? await PostgresServer.start() : null
      const urls = {
        redis: redis?.url,
        upstash: bridge?.url,
        token: bridge?.token,
        postgres: postgres?.url,
      }
      const options = { cwd: ROOT, maxBuffer: 2 ** 26, timeout: 100_000 }
      const { stdout } = await promisify(execFile)(
        command,
        [...args, JSON.stringify(urls)],
        options,
      )
      postgres?.close()
      await bridge?.close()
      await redis?.close()
      lines = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
    }, 120_000)

    for (const subject of [
      'memory',
      'simulated KV',
      'sqlite',
      'fs',
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
