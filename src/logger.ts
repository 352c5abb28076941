/** Where the queue says what happened. Fields hold ids and counts, never payloads or secrets. */
export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

/** Warnings and errors go to the console, the rest nowhere. */
export const consoleLogger: Logger = {
  debug() {},
  info() {},
  // biome-ignore lint/suspicious/noConsole: this is the console logger
  warn: (message, fields) => console.warn(message, ...(fields ? [fields] : [])),
  // biome-ignore lint/suspicious/noConsole: this is the console logger
  error: (message, fields) => console.error(message, ...(fields ? [fields] : [])),
}

/** Says nothing. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }
