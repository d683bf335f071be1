/** The filter by game, language and size of the audience, pure: the rule, and the counts for the form. */
import type { Atlas, Channel } from "./data";

export interface Filter {
  /** Any of these games passes; an empty list passes every channel, its game known or not. */
  games: string[];
  languages: string[];
  /** Fewest and most viewers, both included. A channel with an unknown audience passes neither limit. */
  least: number | null;
  most: number | null;
}

export const EVERYTHING: Filter = { games: [], languages: [], least: null, most: null };

export const isActive = ({ games, languages, least, most }: Filter) =>
  games.length > 0 || languages.length > 0 || least !== null || most !== null;

const among = (value: string | null, chosen: string[]) => chosen.length === 0 || (value !== null && chosen.includes(value));

export function passes({ game, language, viewers }: Pick<Channel, "game" | "language" | "viewers">, filter: Filter): boolean {
  return (
    among(game, filter.games) &&
    among(language, filter.languages) &&
    (filter.least === null || (viewers !== null && viewers >= filter.least)) &&
    (filter.most === null || (viewers !== null && viewers <= filter.most))
  );
}

/** Positions of the channels that pass; null without an active filter. */
export function passing(atlas: Atlas, filter: Filter): Set<number> | null {
  if (!isActive(filter)) return null;
  return new Set(atlas.channels.filter((channel) => passes(channel, filter)).map((channel) => channel.at));
}

/** A value to filter by, and the number of channels with it that pass the other parts of the filter. */
export interface Choice {
  value: string;
  channels: number;
}

/** Every game or language of the atlas, counted without its own part of the filter. */
export function choices(atlas: Atlas, filter: Filter, kind: "games" | "languages"): Choice[] {
  const others = { ...filter, [kind]: [] };
  const counts = new Map<string, number>();
  const all = new Map<string, number>();
  for (const channel of atlas.channels) {
    const value = kind === "games" ? channel.game : channel.language;
    if (value === null) continue;
    all.set(value, (all.get(value) ?? 0) + 1);
    if (passes(channel, others)) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  // Ordered by the counts of the whole atlas, so that choices stay in place under the pointer.
  return [...all]
    .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    .map(([value]) => ({ value, channels: counts.get(value) ?? 0 }));
}

/** Round numbers within the range of audiences: 1, 2 and 5 times the powers of ten. */
export function sizes(atlas: Atlas): number[] {
  const known = atlas.channels.flatMap(({ viewers }) => (viewers === null ? [] : [viewers]));
  if (!known.length) return [];
  const [low, high] = [known.at(-1)!, known[0]!];
  const found: number[] = [];
  for (let power = 1; power <= high; power *= 10) {
    for (const step of [1, 2, 5]) if (step * power > low && step * power < high) found.push(step * power);
  }
  return found;
}
