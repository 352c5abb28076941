import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import * as vendure from '../../adapters/vendure/main.ts'
import * as http from '../../src/http/main.ts'
import * as core from '../../src/main.ts'
import * as testing from '../../src/testing/main.ts'
import { VERSION } from '../../src/version.ts'

const ROOT = join(import.meta.dirname, '../..')

interface Manifest {
  readonly version: string
  readonly exports: Readonly<Record<string, unknown>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly publish?: { readonly exclude: readonly string[] }
}

const read = (name: string): Manifest => JSON.parse(readFileSync(join(ROOT, name), 'utf8'))
const npm = read('package.json')
const jsr = read('deno.json')

test('the exported names are these', () => {
  expect(Object.keys(core).sort()).toMatchInlineSnapshot(`
    [
      "CronSchedule",
      "InMemoryJobBufferStorageStrategy",
      "InMemoryJobQueueStrategy",
      "Job",
      "JobBuffers",
      "JobQueue",
      "JobQueueService",
      "JobState",
      "KvJobQueueStrategy",
      "LeaseLostError",
      "PollingJobQueueStrategy",
      "ScheduledTask",
      "Scheduler",
      "SubscribableJob",
      "WherryError",
      "consoleLogger",
      "createMemoryStore",
      "createUnstorageStore",
      "exponentialBackoff",
      "isInspectableJobQueueStrategy",
      "silentLogger",
      "weekdayNames",
    ]
  `)
  expect(Object.keys(http).sort()).toMatchInlineSnapshot(`
    [
      "createApp",
      "createDoor",
    ]
  `)
  expect(Object.keys(vendure).sort()).toMatchInlineSnapshot(`
    [
      "WherryJobQueuePlugin",
      "jobSignal",
    ]
  `)
  expect(Object.keys(testing).sort()).toMatchInlineSnapshot(`
    [
      "FakeClock",
      "pick",
      "randomBelow",
      "registerStoreSuite",
      "runStoreCase",
      "seededRandom",
      "skipReason",
      "storeCases",
    ]
  `)
})

test('npm and JSR export the same entries, and each is there', () => {
  const patterns = Object.keys(npm.exports).filter((entry) => entry !== './package.json')
  for (const [entry, file] of Object.entries(jsr.exports)) {
    expect(
      patterns.some((pattern) =>
        new RegExp(`^${pattern.replaceAll('.', '\\.').replace('*', '[a-z0-9-]+')}$`).test(entry),
      ),
    ).toBe(true)
    expect(existsSync(join(ROOT, String(file)))).toBe(true)
  }
  // A plugin of a CommonJS package: for npm alone.
  const fixed = patterns.filter((pattern) => !pattern.includes('*') && pattern !== './vendure')
  expect(fixed.every((entry) => entry in jsr.exports)).toBe(true)
  expect(Object.keys(jsr.exports)).not.toContain('./vendure')
  expect(jsr.publish?.exclude).toEqual(['adapters/vendure'])
})

test('versions agree', () => {
  expect([npm.version, jsr.version]).toEqual([VERSION, VERSION])
})

test('the toolchain is pinned exactly', () => {
  const loose = Object.entries(npm.devDependencies).filter(([, range]) => !/^\d/.test(range))
  expect(loose).toEqual([])
})
