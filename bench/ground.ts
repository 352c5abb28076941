/** Where contestants run: a server, or a store without one. */

import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { Redis } from 'ioredis'
import { Client } from 'pg'

export type GroundName = 'redis' | 'postgres' | 'memory' | 'sqlite'
export const GROUND_NAMES: readonly GroundName[] = ['redis', 'postgres', 'memory', 'sqlite']

/** What a server has used since it started; null: it does not tell. */
export interface ServerUsage {
  readonly cpuSeconds: number | null
  /** Commands, those inside scripts too. */
  readonly commands: number | null
}

const UNKNOWN: ServerUsage = { cpuSeconds: null, commands: null }

/** A ground, as a round sees it. */
export interface Ground {
  /** Makes it empty, and answers its URL. Nothing may be open on it. */
  fresh(): Promise<string>
  usage(): Promise<ServerUsage>
  close(): Promise<void>
}

export async function openGround(name: GroundName, url: string): Promise<Ground> {
  if (name === 'redis') return redisGround(url)
  if (name === 'postgres') return postgresGround(url)
  return {
    fresh: async () => (name === 'memory' ? url : freshFile(url)),
    usage: async () => UNKNOWN,
    close: async () => {},
  }
}

function freshFile(url: string): string {
  const folder = url.slice('sqlite:'.length)
  for (const name of readdirSync(folder)) rmSync(join(folder, name))
  return `${url}/jobs.db`
}

function redisGround(url: string): Ground {
  const redis = new Redis(url)
  return {
    async fresh() {
      await redis.flushall()
      return url
    },
    async usage() {
      const info = await redis.info()
      const field = (name: string): number =>
        Number(new RegExp(`^${name}:(.+)$`, 'm').exec(info)?.[1])
      return {
        cpuSeconds: field('used_cpu_user') + field('used_cpu_sys'),
        commands: field('total_commands_processed'),
      }
    },
    async close() {
      await redis.quit()
    },
  }
}

async function postgresGround(url: string): Promise<Ground> {
  const client = new Client({ connectionString: url })
  await client.connect()
  await dropOld(client)
  return {
    async fresh() {
      const name = `${DATABASE}${process.pid}_${Date.now()}`
      await client.query(`create database ${name}`)
      // What is left to be written is not to fall into what is measured.
      await client.query('checkpoint')
      return Object.assign(new URL(url), { pathname: `/${name}` }).href
    },
    usage: async () => UNKNOWN,
    close: () => client.end(),
  }
}

const DATABASE = 'bench_'

/** Those of the rounds before: a library may hold on to the databases of this one until it ends. */
async function dropOld(client: Client): Promise<void> {
  const sql = 'select datname from pg_database where starts_with(datname, $1)'
  const { rows } = await client.query(sql, [DATABASE])
  for (const { datname } of rows) await client.query(`drop database ${datname} with (force)`)
}
