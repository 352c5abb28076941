/** What a queue has to do to be compared. Each contestant does it by its public API, as a user would. */

export interface Payload {
  /** Which job of the round it is, from 0. */
  readonly index: number
  readonly to: string
  readonly subject: string
  readonly template: string
  readonly tags: readonly string[]
  readonly width: number
}

export interface LineSetting {
  /** Where the ground is: `redis://…`, `postgres://…`, `memory:` or `sqlite:…`. */
  readonly url: string
  readonly queueName: string
  /** Handlers that run at once. */
  readonly concurrency: number
  /** Called with the index of a job when its handler starts. The handler does nothing else. */
  readonly run: (index: number) => void
}

/** A queue that is open, in one process. */
export interface Line {
  /** Adds one job, by a call of its own. It is stored when the promise resolves. */
  add(payload: Payload): Promise<void>
  addMany(payloads: readonly Payload[]): Promise<void>
  /** Begins to run jobs. */
  start(): Promise<void>
  /** Runs no more; waits until what has run is settled. */
  stop(): Promise<void>
  /** Jobs that are there and have not completed. Asked after `stop`. */
  unsettled(): Promise<number>
  close(): Promise<void>
}

export type Open = (setting: LineSetting) => Promise<Line>

/** Some 194 bytes of JSON. */
export function payloadOf(index: number): Payload {
  return {
    index,
    to: 'ada.lovelace@analytical-engine.example.org',
    subject: 'Your order has been shipped',
    template: 'order-shipped-notification',
    tags: ['transactional', 'shipping', 'en'],
    width: 1280,
  }
}
