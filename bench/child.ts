import { type ChildProcess, fork } from 'node:child_process'
import process from 'node:process'

/** A script in a process of its own, with an order as its argument. */
export function spawnChild(script: string, order: unknown): ChildProcess {
  return fork(new URL(script, import.meta.url), [JSON.stringify(order)], {
    serialization: 'advanced',
  })
}

/** Runs a script in a fresh process, and answers the one message that it sends. */
export function askChild<Answer>(script: string, order: unknown): Promise<Answer> {
  const child = spawnChild(script, order)
  return new Promise((resolve, reject) => {
    let answer: Answer | undefined
    child.on('message', (message) => {
      answer = message as Answer
    })
    child.once('exit', (code, signal) => {
      if (code === 0 && answer !== undefined) resolve(answer)
      else reject(new Error(`${script} ended with ${signal ?? code}: ${JSON.stringify(order)}`))
    })
  })
}

/** The order that this process was started with. */
export function orderOfParent<Order>(): Order {
  return JSON.parse(process.argv[2] ?? 'null') as Order
}

/** Sends the answer and ends, whatever a library has left open. */
export function answerParent(answer: unknown): void {
  process.send?.(answer, () => process.exit(0))
}
