/** One of several processes that work on a queue: warm, and then at its parent's word. */
import { once } from 'node:events'
import process from 'node:process'
import { answerParent, orderOfParent } from './child.ts'
import { payloadOf } from './contestant.ts'
import { contestant } from './contestants.ts'
import type { CrewOrder, CrewReport } from './crew.ts'
import { QUEUE_NAME } from './heat.ts'
import { Ledger } from './ledger.ts'

const WARM_UP_JOBS = 1_000
/** How often it tells what has run. */
const TELL_MS = 10

const { contestant: name, url, concurrency } = orderOfParent<CrewOrder>()
const open = await contestant(name)

await warmUp()
let indexes: number[] = []
let lastRanAt = 0
const line = await open({
  url,
  queueName: QUEUE_NAME,
  concurrency,
  run(index) {
    indexes.push(index)
    lastRanAt = performance.timeOrigin + performance.now()
  },
})
const telling = setInterval(tell, TELL_MS)
say({ type: 'ready' })
await once(process, 'message')
const cpu = process.cpuUsage()
await line.start()
await once(process, 'message')
const { user, system } = process.cpuUsage(cpu)
await line.stop()
clearInterval(telling)
tell()
await line.close()
answerParent({ type: 'stopped', cpuSeconds: (user + system) / 1e6 } satisfies CrewReport)

function say(report: CrewReport): void {
  process.send?.(report)
}

function tell(): void {
  if (indexes.length > 0) say({ type: 'ran', indexes, lastRanAt })
  indexes = []
}

/** On a queue of its own, so that nobody else's jobs are touched. */
async function warmUp(): Promise<void> {
  const ledger = new Ledger(WARM_UP_JOBS)
  const queueName = `warm-up-${process.pid}`
  const warm = await open({ url, queueName, concurrency, run: (index) => ledger.note(index) })
  await warm.addMany(Array.from({ length: WARM_UP_JOBS }, (_, index) => payloadOf(index)))
  await warm.start()
  await ledger.all
  await warm.stop()
  await warm.close()
}
