/**
 * Indexes every README under `node_modules` through the queue, in one process and without HTTP, and
 * searches them. Kill it in the middle and start it again: it goes on where it was.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openStore } from '../../adapters/runtime/node.ts'
import { createSearch, type Document, type SearchApp } from './app.ts'
import { digest } from './search-index.ts'

const { values } = parseArgs({
  options: {
    storage: {
      type: 'string',
      default: process.env['WHERRY_STORAGE'] ?? 'sqlite:./.wherry/search.db',
    },
    from: { type: 'string', default: 'node_modules' },
  },
})
const QUERIES = ['install', 'worker storage', 'typescript compiler options']
/** Short, so that a second run need not wait long for the jobs that a killed one held. */
const LEASE_MS = 2_000

const print = (text: string): void => void process.stdout.write(text)
const search = await createSearch(await openStore(values.storage), { leaseMs: LEASE_MS })
const paths = await readmesUnder(values.from)
const ids = await Promise.all(paths.map(digest))
print(`${paths.length} READMEs under ${values.from}, indexed into ${values.storage}\n`)
await addMissing(search, paths, ids)
await search.service.start()
await untilSettled(search, ids.length)
await search.service.stop()
for (const query of QUERIES) await showHits(search, query)
const { completed, failed } = await outcome(search, ids)
await search.service.close()
print(`${completed} completed, ${failed} failed\n`)
process.exitCode = failed === 0 && completed === ids.length ? 0 : 1

async function readmesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && entry.name === 'README.md')
  return files.map((entry) => join(entry.parentPath, entry.name)).sort()
}

/** A job's id comes from its path, so a document is never added twice. */
async function addMissing(
  { service, documents }: SearchApp,
  all: readonly string[],
  allIds: readonly string[],
): Promise<void> {
  const known = new Set((await service.findManyById(allIds)).map(({ id }) => id))
  const missing = all.flatMap((path, i) =>
    known.has(allIds[i] as string) ? [] : [{ path, id: allIds[i] as string }],
  )
  const additions = missing.map(
    async ({ path, id }): Promise<{ data: Document; options: { id: string } }> => {
      return { data: { path, text: await readFile(path, 'utf8') }, options: { id } }
    },
  )
  await documents.addMany(await Promise.all(additions))
  print(`${missing.length} jobs added, ${known.size} were there already\n`)
}

async function untilSettled({ documents, service }: SearchApp, all: number): Promise<void> {
  for (let told = -1; told !== all; ) {
    const counts = (await service.counts()).get(documents.name)
    const open = (counts?.PENDING ?? 0) + (counts?.RUNNING ?? 0) + (counts?.RETRYING ?? 0)
    const settled = Math.max(0, all - open)
    if (settled !== told) showProgress(settled, all)
    told = settled
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  print('\n')
}

/** A bar on a terminal, a line otherwise. */
function showProgress(done: number, all: number): void {
  const width = 40
  const filled = Math.round((done / all) * width)
  const bar = `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`
  print(process.stdout.isTTY ? `\r${bar} ${done}/${all}` : `${done}/${all} settled\n`)
}

async function showHits({ index }: SearchApp, query: string): Promise<void> {
  const hits = await index.search(query, 3)
  print(`\n"${query}"\n`)
  for (const { path, score } of hits) print(`  ${String(score).padStart(4)} × ${path}\n`)
}

async function outcome(
  { service }: SearchApp,
  wanted: readonly string[],
): Promise<{ completed: number; failed: number }> {
  const jobs = await service.findManyById(wanted)
  const count = (state: string): number => jobs.filter((job) => job.state === state).length
  return { completed: count('COMPLETED'), failed: count('FAILED') + count('CANCELLED') }
}
