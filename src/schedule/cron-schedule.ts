import { Cron } from 'croner'
import { messageOf } from '../errors.ts'
import { refusal } from '../refusal.ts'
import { FOLD_MS_MAX, TimeZone } from './time-zone.ts'

/** How days of the week are numbered: 0 (or 7) is Sunday, or, as Quartz and Cloudflare do, 1 is. */
export type WeekdayNumbers = 'unix' | 'quartz'

/**
 * The instants that a cron text names in a time zone.
 *
 * When clocks change: a schedule of fixed hours has one occurrence a day. An hour that is left out
 * is made up for when the clock jumps, of an hour that comes twice only the first counts. A schedule
 * whose hours are `*` (or begin so, as in the text for every second hour) goes by what the clock
 * shows, so it counts both.
 *
 * @example
 * ```ts
 * const schedule = new CronSchedule('30 2 * * *', { timezone: 'Europe/Berlin' })
 * schedule.next(Date.now())
 * ```
 */
export class CronSchedule {
  readonly text: string
  readonly timezone: string
  readonly #zone: TimeZone
  readonly #cron: Cron
  readonly #everyHour: boolean

  /** @throws WherryError `input-invalid` for a text or a zone that says nothing. */
  constructor(
    text: string,
    {
      timezone = 'UTC',
      weekdays = 'unix',
    }: { timezone?: string | undefined; weekdays?: WeekdayNumbers | undefined } = {},
  ) {
    this.text = text
    this.timezone = timezone
    this.#zone = new TimeZone(timezone)
    this.#cron = parse(text, weekdays)
    this.#everyHour = hoursOf(text).startsWith('*')
  }

  /** The first instant after that, in ms since 1970; null: there is none. */
  next(after: number): number | null {
    const again = this.#everyHour ? this.#nextInFold(after) : null
    for (let wall = this.#nextWall(this.#zone.wall(after)); wall !== null; ) {
      const instant = this.#instants(wall).find((one) => one > after)
      if (instant !== undefined) return again === null ? instant : Math.min(again, instant)
      wall = this.#nextWall(wall)
    }
    return again
  }

  /** The last `limit` instants after `after` and up to `until`, in their order. */
  between(after: number, until: number, limit: number): number[] {
    const found = new Set<number>()
    const zone = this.#zone
    const now = zone.wall(until)
    // Shortly after the clock was set back, it had shown later walls already.
    const folded = zone.offset(until - FOLD_MS_MAX) > zone.offset(until)
    const oldest = zone.wall(after) - FOLD_MS_MAX
    let wall = this.#lastWall(folded ? now + FOLD_MS_MAX : now)
    while (wall !== null && wall >= oldest) {
      if (found.size >= limit && (!folded || wall < now - FOLD_MS_MAX)) break
      for (const one of this.#instants(wall)) if (one > after && one <= until) found.add(one)
      wall = this.#lastWall(wall - 1_000)
    }
    return [...found].sort((a, b) => a - b).slice(-limit)
  }

  #instants(wall: number): number[] {
    const instants = this.#zone.instants(wall)
    if (this.#everyHour) return instants
    return [instants[0] ?? this.#zone.jumpOver(wall)]
  }

  /** The first instant after the clock is set back, when that is about to happen. */
  #nextInFold(after: number): number | null {
    const zone = this.#zone
    const later = after + FOLD_MS_MAX
    if (zone.offset(later) >= zone.offset(after)) return null
    const change = zone.changeBetween(after, later)
    const wall = this.#nextWall(zone.wall(change) - 1_000)
    return wall === null ? null : wall - zone.offset(change)
  }

  #nextWall(after: number): number | null {
    return this.#cron.nextRun(new Date(after))?.getTime() ?? null
  }

  /** The last wall up to that. */
  #lastWall(until: number): number | null {
    const second = Math.floor(until / 1_000) * 1_000
    return this.#cron.previousRuns(1, new Date(second + 1_000))[0]?.getTime() ?? null
  }
}

function parse(text: string, weekdays: WeekdayNumbers): Cron {
  let cron: Cron
  try {
    // In UTC, where no wall comes twice: what clocks do is our own part.
    cron = new Cron(text, {
      paused: true,
      utcOffset: 0,
      alternativeWeekdays: weekdays === 'quartz',
    })
  } catch (error) {
    const is = `${JSON.stringify(text)} is no schedule (${messageOf(error)})`
    throw refusal('read a cron text', is, 'five fields, or six with seconds first')
  }
  if (cron.nextRun(new Date(0)) !== null) return cron
  throw refusal('read a cron text', `${JSON.stringify(text)} never comes`, 'a date that does')
}

/** The field of the hours; fields are counted from the end, for seconds are optional in front. */
function hoursOf(text: string): string {
  const fields = text.trim().split(/\s+/)
  if (fields.length === 1) return fields[0]?.toLowerCase() === '@hourly' ? '*' : ''
  return fields[fields.length === 5 ? 1 : 2] ?? ''
}
