import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { PostgresServer } from '../test/support/postgres-server.ts'
import { RedisServer } from '../test/support/redis-server.ts'
import type { GroundName } from './ground.ts'

/** A server of our own on a free port; it ends with the bench. */
export interface GroundServer {
  readonly url: string
  close(): Promise<void>
}

/** A Redis keeps nothing on disk; a PostgreSQL is as it is installed, so it does. */
export async function startGround(name: GroundName): Promise<GroundServer> {
  if (name === 'redis') return RedisServer.start()
  if (name === 'memory') return { url: 'memory:', close: async () => {} }
  if (name === 'postgres') return startPostgres()
  const folder = mkdtempSync(join(tmpdir(), 'wherry-bench-'))
  return {
    url: `sqlite:${folder}`,
    close: async () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** It goes on by itself, also when the bench is broken off, so it has to be ended. */
async function startPostgres(): Promise<GroundServer> {
  const server = await PostgresServer.start()
  const end = (): void => server.close()
  process.once('exit', end)
  process.once('SIGINT', () => process.exit(130))
  return {
    url: server.url,
    async close() {
      process.off('exit', end)
      end()
    },
  }
}
