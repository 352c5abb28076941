/** All that a store holds, as text: to look for what must not be there. */
import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'

export async function dumpOf(storage: string): Promise<string> {
  if (storage.startsWith('redis:')) return redisDump(storage)
  const file = storage.replace('sqlite:', '')
  return [file, `${file}-wal`].map((name) => readFileSync(name, 'latin1')).join('')
}

async function redisDump(url: string): Promise<string> {
  const redis = new Redis(url)
  try {
    const keys = await redis.keys('*')
    const dumps = await Promise.all(keys.map((key) => contentOf(redis, key)))
    return JSON.stringify(dumps)
  } finally {
    redis.disconnect()
  }
}

async function contentOf(redis: Redis, key: string): Promise<unknown> {
  const type = await redis.type(key)
  if (type === 'hash') return [key, await redis.hgetall(key)]
  if (type === 'zset') return [key, await redis.zrange(key, 0, -1)]
  if (type === 'string') return [key, await redis.get(key)]
  if (type === 'set') return [key, await redis.smembers(key)]
  throw new Error(`Cannot look into "${key}": it is a ${type}`)
}
