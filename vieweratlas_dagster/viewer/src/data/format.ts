/** Numbers, dates and language codes as text. */

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const languages = new Intl.DisplayNames("en", { type: "language" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });

export const count = (value: number) => whole.format(value);
export const compact = (value: number) => short.format(value);

export const things = (value: number, one: string, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** A share from 0 to 1 as a percentage. */
export function percent(share: number): string {
  if (share > 0 && share < 0.001) return "<0.1%";
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`;
}

/** A coefficient with enough digits to distinguish neighbours. */
export const weight = (value: number) => String(Number(value.toPrecision(3)));

export function languageName(code: string): string {
  try {
    return languages.of(code) ?? code;
  } catch {
    return code;
  }
}

const asDate = (value: unknown) => {
  const date = typeof value === "string" ? new Date(value) : new Date(NaN);
  return Number.isNaN(date.getTime()) ? null : date;
};

/** "20 – 27 Feb 2021" from ISO dates; empty when neither is a date. */
export function dateRange(from: unknown, to: unknown): string {
  const [start, end] = [asDate(from), asDate(to)];
  if (start && end) return start.getTime() === end.getTime() ? day.format(end) : day.formatRange(start, end);
  return start || end ? day.format((start ?? end)!) : "";
}

export const isDate = (text: string) => /^\d{4}-\d\d-\d\d$/.test(text);

/** A day of the history: a date as "7 Jan 2026", any other name unchanged. */
export const dayName = (name: string) => (isDate(name) ? dateRange(name, name) || name : name);
