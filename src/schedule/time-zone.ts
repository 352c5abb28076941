import { refusal } from '../refusal.ts'

const HOUR_MS = 3_600_000
/** Offsets lie within 14 hours of UTC, and no shift of a clock is longer than a day. */
const AROUND_MS = 36 * HOUR_MS
/** A wall clock that is set back repeats at most so much. */
export const FOLD_MS_MAX: number = 3 * HOUR_MS

/**
 * A place's wall clock. A *wall* time is what the clock there shows, as the milliseconds at which a
 * clock in UTC would show it: some walls come twice a year, and some never.
 */
export class TimeZone {
  readonly name: string
  readonly #format: Intl.DateTimeFormat | null

  /** @throws WherryError `input-invalid` for a name that the platform does not know. */
  constructor(name: string) {
    this.name = name
    this.#format = name === 'UTC' ? null : formatOf(name)
  }

  /** What is added to UTC at that moment, in ms. */
  offset(instant: number): number {
    if (this.#format === null) return 0
    const second = Math.floor(instant / 1_000) * 1_000
    const parts = this.#format.formatToParts(second)
    const [year = 0, month = 1, day = 1, hour = 0, minute = 0, seconds = 0] = FIELDS.map((type) =>
      Number(parts.find((part) => part.type === type)?.value),
    )
    return Date.UTC(year, month - 1, day, hour, minute, seconds) - second
  }

  wall(instant: number): number {
    return instant + this.offset(instant)
  }

  /** When the clock shows that: once, twice, or never. */
  instants(wall: number): number[] {
    const offsets = new Set([this.offset(wall - AROUND_MS), this.offset(wall + AROUND_MS)])
    return [...offsets]
      .map((offset) => wall - offset)
      .filter((instant) => this.wall(instant) === wall)
      .sort((a, b) => a - b)
  }

  /** When the clock jumps over a wall that it never shows. */
  jumpOver(wall: number): number {
    return this.changeBetween(wall - AROUND_MS, wall + AROUND_MS)
  }

  /** The first moment of another offset than that of `from`, which `to` has. To the second. */
  changeBetween(from: number, to: number): number {
    const before = this.offset(from)
    let low = Math.floor(from / 1_000)
    let high = Math.ceil(to / 1_000)
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (this.offset(middle * 1_000) === before) low = middle
      else high = middle
    }
    return high * 1_000
  }
}

const FIELDS = ['year', 'month', 'day', 'hour', 'minute', 'second'] as const

function formatOf(name: string): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
  } catch {
    throw refusal('use a time zone', `there is none called ${JSON.stringify(name)}`, 'an IANA name')
  }
}
