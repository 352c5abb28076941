/**
 * The conformance suite as a program, for runtimes that have no test runner of ours: one line of JSON
 * for each case.
 *
 *     deno run -A test/runtimes/conformance.ts '{ "redis": "redis://127.0.0.1:6379" }'
 */
import assert from 'node:assert/strict'
import process from 'node:process'
import { runStoreCase, type StoreSubject, storeCases } from '../../src/testing/main.ts'
import {
  denoKvServerSubject,
  denoKvSubject,
  removeDenoKvFolders,
} from '../conformance/deno-kv-subject.ts'
import { fsSubject, removeFolders, sqliteSubject } from '../conformance/file-subjects.ts'
import { closePostgresStores, postgresSubject } from '../conformance/postgres-subject.ts'
import { closeRedisStores, redisSubject } from '../conformance/redis-subject.ts'
import { memorySubject, simulatedKVSubject } from '../conformance/subjects.ts'
import { upstashSubject } from '../conformance/upstash-subject.ts'

const SEED = 4
const urls: Readonly<Record<string, string>> = JSON.parse(process.argv[2] ?? '{}')
const subjects: Readonly<Record<string, StoreSubject>> = {
  memory: memorySubject(SEED),
  'simulated KV': simulatedKVSubject(SEED),
  sqlite: sqliteSubject(SEED),
  fs: fsSubject(SEED),
  'deno-kv': denoKvSubject(SEED),
  ...(urls['denoKv'] && { 'deno-kv on a server': denoKvServerSubject(urls['denoKv'], SEED) }),
  ...(urls['redis'] && { redis: redisSubject(urls['redis'], SEED) }),
  ...(urls['upstash'] && { upstash: upstashSubject(urls['upstash'], urls['token'] ?? '', SEED) }),
  ...(urls['postgres'] && { postgres: postgresSubject(urls['postgres'], SEED) }),
}

for (const [subject, opens] of Object.entries(subjects)) {
  for (const storeCase of storeCases) {
    const result = await runStoreCase(storeCase, opens, assert).then(
      (skipped) => (skipped === null ? { held: true } : { skipped }),
      (error) => ({ held: false, error: String(error?.stack ?? error) }),
    )
    // biome-ignore lint/suspicious/noConsole: its output is what it is for
    console.log(JSON.stringify({ subject, name: storeCase.name, ...result }))
  }
}
removeFolders()
removeDenoKvFolders()
await Promise.all([closeRedisStores(), closePostgresStores()])
