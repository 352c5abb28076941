/** A process that opens a folder when it is told to, and closes it when its input ends. */
import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { createFsStore } from '../../adapters/store/fs.ts'
import { messageOf } from '../../src/errors.ts'

const [, , folder = ''] = process.argv
const store = createFsStore(folder)
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
writeSync(1, 'ready\n')
await lines.next()
try {
  await store.read({})
  writeSync(1, 'open\n')
} catch (error) {
  writeSync(1, `${(error as { code?: unknown }).code}: ${messageOf(error)}\n`)
}
await lines.next()
await store.close()
