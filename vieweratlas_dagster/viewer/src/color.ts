/** Mixing colours written as #rgb or #rrggbb. */

type Rgb = [number, number, number];

/** #rgb or #rrggbb as numbers from 0 to 255. */
export function rgb(color: string): Rgb {
  const digits = color.slice(1);
  const full = digits.length === 3 ? [...digits].map((digit) => digit + digit).join("") : digits;
  const value = Number.parseInt(full, 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

/** `share` of the second colour in the first. */
export function mix(first: string, second: string, share: number): string {
  const [one, other] = [rgb(first), rgb(second)];
  const parts = one.map((part, at) => Math.round(part + (other[at]! - part) * share));
  return `#${parts.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
